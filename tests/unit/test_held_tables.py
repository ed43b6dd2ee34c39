"""Tables held open: what is kept, for how long, and that it is worked out once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pyarrow as pa
import pytest
from table_cases import NOON, forecast, hours, put

from serverload.contracts.errors import StoreError
from serverload.store.held_tables import HeldTables, KeptResults


def test_what_was_worked_out_is_kept_until_one_of_its_tables_has_a_commit(tmp_path: Path) -> None:
    tables, made = HeldTables(str(tmp_path), 1 << 20), list[int]()

    def ask() -> int:
        return tables.worked_out("key", ["servers", "forecasts"], lambda: made.append(1) or len(made))

    assert (ask(), ask()) == (1, 1)
    put(tmp_path, "servers", {"server_ip": "a"})
    assert (ask(), ask()) == (2, 2)
    put(tmp_path, "hourly_load", {"server_ip": "a", "hour": NOON, "month": "2016-06"})
    assert ask() == 2
    put(tmp_path, "forecasts", forecast("a", 0, 1))
    assert ask() == 3
    assert tables.version("forecasts") == 0


def test_the_highest_time_is_told_without_a_file(tmp_path: Path) -> None:
    tables = HeldTables(str(tmp_path), 0)
    assert tables.highest("forecasts", "issued_hour") is None
    put(tmp_path, "forecasts", forecast("a", 4, 1), forecast("a", 3, 40))
    put(tmp_path, "forecasts", forecast("a", 1, 1))
    for file in tmp_path.glob("tables/forecasts/*/*.parquet"):
        file.unlink()
    assert tables.highest("forecasts", "issued_hour") == hours(4)


def test_a_table_that_cannot_be_read_is_named_in_one_line(tmp_path: Path) -> None:
    put(tmp_path, "servers", {"server_ip": "a"})
    (log,) = tmp_path.glob("tables/servers/_delta_log/*.json")
    log.write_text("{")
    with pytest.raises(StoreError, match=r"tables/servers: cannot be read: .*; see `serverload doctor`"):
        HeldTables(str(tmp_path), 0).version("servers")


def test_results_are_kept_within_their_bytes_and_the_least_used_go_first() -> None:
    kept, made = KeptResults(30_000), list[str]()

    def ask(key: str) -> None:
        kept.get(key, None, lambda _before: made.append(key) or pa.array(range(1000)))  # 8 kB and the overhead of one

    for key in ("a", "b", "c", "a", "d", "a", "c", "b"):
        ask(key)
    assert made == ["a", "b", "c", "d", "b"]


def test_a_result_of_another_stamp_is_made_from_the_one_before() -> None:
    kept = KeptResults(10_000)
    assert [kept.get("key", stamp, lambda before: (before or 0) + 1) for stamp in (1, 1, 2, 3)] == [1, 1, 2, 3]


def test_many_who_ask_at_once_wait_for_one_who_works_it_out() -> None:
    kept, together, made = KeptResults(10_000), Barrier(8), list[int]()
    going_on = Event()

    def slowly(_before: int | None) -> int:
        made.append(1)
        going_on.wait(0.2)
        return len(made)

    def ask(_turn: int) -> int:
        together.wait()
        return kept.get("key", 1, slowly)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [1] * 8
