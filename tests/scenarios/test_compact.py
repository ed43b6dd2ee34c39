"""Upkeep on drawn tables: sums stay, late partial sums become one row, and nothing that is needed goes."""

import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from compact_cases import (
    APPLICATION,
    START,
    BusyTables,
    CutTables,
    PowerCut,
    Sum,
    aged,
    append,
    compacted,
    micros_of,
    stored_micros,
    versions,
)
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.backfill import backfill
from bench.upkeep import Fleet, month
from serverload.advance import Advance
from serverload.advance.changes import hour_changes
from serverload.contracts.errors import InputError, StoreError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store import locks
from serverload.store.delta_kernel import Transaction
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home
from serverload.store.table_reader import run_sql

MINUTES = 24 * 60
FIRST_DAY = [Sum("a", minute, 1.25) for minute in (0, 5, 700)]
SECOND_DAY = [Sum("a", MINUTES + minute, 2.5) for minute in (0, 5, 700)]
LATE = [Sum("a", 0, 0.5), Sum("b", 5, 0.125)]


@pytest.fixture
def tables(spark: SparkSession, tmp_path: Path) -> DeltaTables:
    return DeltaTables(spark, str(tmp_path))


def rows_by_day(tables: DeltaTables) -> list[tuple[int, int, int]]:
    """Day, rows, and rows that still name their batch."""
    days = f"date_diff('day', timestamp '{START:%Y-%m-%d}', window_start::timestamp)"
    query = f"select {days} as day, count(*) as n, count(batch_id) as named from load_windows group by all order by 1"
    return [tuple(row.values()) for row in run_sql(tables.home, query).to_pylist()]


def test_a_closed_day_gets_one_row_a_window_and_an_open_one_keeps_its_batches(tables: DeltaTables) -> None:
    append(tables, 0, FIRST_DAY)
    append(tables, 1, SECOND_DAY + LATE)
    append(tables, 2, SECOND_DAY + LATE)

    (done,) = compacted(tables, closed_days=1)

    assert rows_by_day(tables) == [(0, 4, 0), (1, 6, 6)]
    assert stored_micros(tables) == micros_of([FIRST_DAY, SECOND_DAY + LATE, SECOND_DAY + LATE])
    # the 29th of February is the second day: all is of one month
    assert (done.before.files, done.before.rows) == (3, 13)
    assert (done.after.files, done.after.rows) == (1, 10)
    newest = "select server_type, server_type_at, last_event, sessions from load_windows where server_ip = 'b'"
    (b,) = run_sql(tables.home, newest).to_pylist()
    assert b == {
        "server_type": 5, "server_type_at": START + timedelta(minutes=5),
        "last_event": START + timedelta(minutes=5), "sessions": 2,
    }  # fmt: skip


def test_sources_are_kept_apart(tables: DeltaTables) -> None:
    append(tables, 0, FIRST_DAY, source="history")
    append(tables, 1, FIRST_DAY)
    append(tables, 2, FIRST_DAY)
    compacted(tables, closed_days=1)
    counted = "select source, count(*) as n, sum(sessions)::bigint as s from load_windows group by 1 order by 1"
    assert run_sql(tables.home, counted).to_pylist() == [
        {"source": "history", "n": 3, "s": 3},
        {"source": "live", "n": 3, "s": 6},
    ]


def test_what_has_nothing_to_add_up_is_looked_at_once(tables: DeltaTables) -> None:
    append(tables, 0, FIRST_DAY)
    compacted(tables, closed_days=1)  # one row a window: a mark, no new file
    (seen,) = versions(tables, "load_windows")
    assert rows_by_day(tables) == [(0, 3, 3)]
    compacted(tables, closed_days=1)
    assert versions(tables, "load_windows") == [seen]

    append(tables, 1, LATE)
    compacted(tables, closed_days=1)
    compacted(tables, closed_days=20)
    assert rows_by_day(tables) == [(0, 4, 0)]
    assert versions(tables, "load_windows") == [seen + 2]


def test_late_rows_leave_the_files_of_other_days_alone(tables: DeltaTables) -> None:
    march = [Sum("a", 3 * MINUTES + minute, 1.0) for minute in (0, 5)]
    for batch_id, sums in enumerate((FIRST_DAY, FIRST_DAY, march, march)):
        append(tables, batch_id, sums)
    compacted(tables, closed_days=5)
    append(tables, 4, LATE)
    compacted(tables, closed_days=5)
    commit = Path(tables.path("load_windows"), "_delta_log", f"{tables.version('load_windows'):020d}.json")
    assert "month=2016-02" in commit.read_text()
    assert "month=2016-03" not in commit.read_text()


def test_sums_beyond_what_a_double_holds_to_the_micro_stay_as_they_are(tables: DeltaTables) -> None:
    """Added up and stored, 9e12 + 9e12 - 9e12 would be another sum after a further batch."""
    huge, back = [Sum("a", 0, 9e12)], [Sum("a", 0, -9e12)]
    odd = [Sum("c", 0, 3_999_999_999.000001), Sum("d", 0, 1.000001)]
    for batch_id, sums in enumerate((huge, huge, odd, odd)):
        append(tables, batch_id, sums)
    compacted(tables, closed_days=1)
    append(tables, 4, back)
    compacted(tables, closed_days=1)
    assert stored_micros(tables) == micros_of([huge, odd, odd])
    assert versions(tables, "load_windows") == [7]
    compacted(tables, closed_days=1)
    assert versions(tables, "load_windows") == [7]


def test_what_is_appended_while_rows_are_added_up_is_kept(spark: SparkSession, tables: DeltaTables) -> None:
    batches = [FIRST_DAY, FIRST_DAY]

    def stream() -> None:
        """Another writer, which takes the table's lock: it is free between reading and commit."""
        with held_for_home(tables.home, "table-load_windows", wait_seconds=1.0):
            pass
        batches.append(LATE)
        append(DeltaTables(spark, tables.home), len(batches) - 1, LATE)

    append(tables, 0, FIRST_DAY)
    append(tables, 1, FIRST_DAY)
    compacted(BusyTables(spark, tables.home, meanwhile=stream), closed_days=1)
    assert len(batches) == 4  # before the commit and after it
    assert stored_micros(tables) == micros_of(batches)
    compacted(tables, closed_days=1)
    assert stored_micros(tables) == micros_of(batches)
    assert rows_by_day(tables) == [(0, 4, 0)]


def test_files_that_another_job_replaces_meanwhile_are_tried_again_a_few_times(
    spark: SparkSession, tables: DeltaTables
) -> None:
    append(tables, 0, FIRST_DAY)
    append(tables, 1, LATE)

    def rewrite() -> None:
        there = DeltaTables(spark, tables.home).pinned("load_windows")
        there.commit("true", there.written(there.rows("true")))

    with pytest.raises(StoreError, match=r"load_windows: its files are replaced again and again .*; run it again"):
        compacted(BusyTables(spark, tables.home, meanwhile=rewrite), closed_days=1)
    assert stored_micros(tables) == micros_of([FIRST_DAY, LATE])


def test_without_locks_a_merge_whose_files_were_replaced_meanwhile_is_told_in_one_line(
    spark: SparkSession, tables: DeltaTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "is_local", lambda _home: False)
    add_hours(tables, [FIRST_DAY])
    merging, replaced = tmp_path / "merging", tmp_path / "replaced"

    def awaited(file: Path) -> None:
        for _ in range(1200):
            if file.exists():
                return
            time.sleep(0.05)
        raise TimeoutError(f"no file {file.name} after a minute")

    def waiting(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            merging.touch()
            awaited(replaced)
            yield batch

    def replace() -> None:
        awaited(merging)
        there = DeltaTables(spark, tables.home).pinned("hourly_load")
        there.commit("true", there.written(there.rows("true")))
        replaced.touch()

    there = tables.read("hourly_load")
    rows = there.mapInArrow(waiting, there.schema).withColumn("sessions", F.lit(7).cast("bigint"))
    with ThreadPoolExecutor(1) as pool, pytest.raises(StoreError, match="its files were replaced by another job"):
        pool.submit(replace)
        tables.merge("hourly_load", rows, None, {})
    tables.merge("hourly_load", rows, None, {})
    assert {row["sessions"] for row in hours(tables)} == {7}


def test_a_second_compact_is_told_in_one_line(tables: DeltaTables) -> None:
    with (
        held_for_home(tables.home, "compact"),
        pytest.raises(StoreError, match=r"compact: in use by process \d+ .*wait for it"),
    ):
        compacted(tables, closed_days=0)


def test_a_half_written_batch_of_the_history_is_known_after_its_rows_were_added_to_others(
    spark: SparkSession, tables: DeltaTables, tmp_path: Path
) -> None:
    """Were it not, the plan would be dropped and its lines counted again under another id."""
    file = tmp_path / "day.csv"
    file.write_text("2016-02-27 10:00:00,,1,5,1,1,3,1,1,1,1,1,1,70.5,10.9.9.9,10.8.8.8\n")

    class Growing(DeltaTables):
        def append_arrow(self, *given) -> None:  # type: ignore[no-untyped-def]
            super().append_arrow(*given)
            file.write_text(file.read_text() * 2)

    with pytest.raises(InputError, match="changed since"):
        backfill(Growing(spark, tables.home), load_settings().ingest, [str(file)], Silent())
    append(tables, 7, [Sum("10.8.8.8", -14 * 60, 1.0)], source="history")
    compacted(tables, closed_days=0)
    assert run_sql(tables.home, "select count(*) as n, count(batch_id) as named from load_windows").to_pylist() == [
        {"n": 1, "named": 0}
    ]
    with pytest.raises(InputError, match=r"batch 0, half written: .*put it back as it was"):
        backfill(tables, load_settings().ingest, [str(file)], Silent())


def advanced(tables: DeltaTables) -> None:
    Advance(tables, load_settings()).run()


def add_hours(tables: DeltaTables, batches: list[list[Sum]]) -> None:
    """Append batches, each followed by `advance`."""
    for batch_id, sums in enumerate(batches):
        append(tables, batch_id, sums)
        advanced(tables)


def hours(tables: DeltaTables) -> list[dict[str, object]]:
    return run_sql(tables.home, "select * from hourly_load order by server_ip, hour").to_pylist()


def test_any_order_of_batches_upkeep_and_power_cuts_keeps_sums_and_hours(
    spark: SparkSession, tables: DeltaTables
) -> None:
    draw = random.Random(1)
    batches: list[list[Sum]] = []
    for step in range(8):
        what = draw.choice(["batch", "batch", "again", "compact", "cut", "cut"]) if batches else "batch"
        if what == "batch":
            minutes = [draw.randrange((step + 1) * MINUTES // 2) for _ in range(6)]
            batches.append([Sum(draw.choice("ab"), minute, draw.randrange(10**7) / 1e6) for minute in minutes])
            append(tables, len(batches) - 1, batches[-1])
        elif what == "again":
            append(tables, len(batches) - 1, [Sum("a", 0, 99.0)])
        elif what == "compact":
            compacted(tables, closed_days=step // 2)
        else:
            cut = CutTables(spark, tables.home)
            cut.steps = draw.randrange(4)
            with pytest.raises(PowerCut):
                while True:
                    compacted(cut, closed_days=step // 2)
        assert stored_micros(tables) == micros_of(batches), (step, what)
    advanced(tables)
    before, written = hours(tables), versions(tables, "hourly_load", "servers")
    compacted_versions = [done.after.rows for done in compacted(tables, closed_days=9)]
    advanced(tables)
    assert compacted_versions[0] == len(micros_of(batches))
    assert versions(tables, "hourly_load", "servers") == written
    assert hours(tables) == before


def test_batch_ids_outlive_upkeep_the_log_and_old_files(tables: DeltaTables) -> None:
    batches = [FIRST_DAY, *([Sum("a", number, 1.0)] for number in range(12))]
    for batch_id, sums in enumerate(batches):
        append(tables, batch_id, sums)
    compacted(tables, closed_days=1)
    aged(tables.home, days=40)
    for batch_id in range(13, 33):  # checkpoints, and with them an end to the old log
        append(tables, batch_id, LATE)
        batches.append(LATE)
    compacted(tables, closed_days=1)
    log = Path(tables.path("load_windows"), "_delta_log")
    assert not (log / f"{13:020d}.json").exists()  # the last of the old ones
    assert (log / f"{15:020d}.json").exists()

    for batch_id in (0, 5, 12):
        append(tables, batch_id, FIRST_DAY)
    assert tables.is_committed("load_windows", Transaction(APPLICATION, 12))
    assert stored_micros(tables) == micros_of(batches)


def test_vacuum_takes_what_was_left_behind_and_nothing_that_is_needed(tables: DeltaTables) -> None:
    append(tables, 0, FIRST_DAY)
    append(tables, 1, FIRST_DAY)
    folder = Path(tables.path("load_windows"), "month=2016-02")
    orphan, fresh = folder / "part-orphan.zstd.parquet", folder / "part-fresh.zstd.parquet"
    replaced = set(folder.glob("part-*.parquet"))
    orphan.write_bytes(b"of a killed task")
    compacted(tables, closed_days=1)
    aged(tables.home, days=6.9)
    compacted(tables, closed_days=1)
    assert {orphan, *replaced} <= set(folder.glob("part-*"))

    aged(tables.home, days=0.2)
    fresh.write_bytes(b"of a task under way")
    compacted(tables, closed_days=1)
    assert not orphan.exists()
    assert fresh.exists()
    assert replaced <= set(folder.glob("part-*"))  # old, and needed by a version of the last hours
    assert stored_micros(tables) == micros_of([FIRST_DAY, FIRST_DAY])


def forgotten(tables: DeltaTables, name: str) -> None:
    """Delete the data files that the newest version needs no more, as VACUUM does in time."""
    needed = {row["path"] for row in tables.pinned(name).files().select("path").collect()}
    for file in Path(tables.path(name)).glob("*/*.parquet"):
        if "_delta_log" not in file.parts and str(file.relative_to(tables.path(name))) not in needed:
            file.unlink()


def test_hours_of_batches_whose_files_are_gone_are_computed_by_month(tables: DeltaTables) -> None:
    add_hours(tables, [FIRST_DAY])
    append(tables, 1, SECOND_DAY + LATE)
    append(tables, 2, SECOND_DAY)
    compacted(tables, closed_days=2)
    forgotten(tables, "load_windows")
    advanced(tables)
    busiest = "select server_ip, peak_load from hourly_load order by server_ip, hour"
    assert [tuple(row.values()) for row in run_sql(tables.home, busiest).to_pylist()] == [
        ("a", 1.75), ("a", 1.25), ("a", 5.0), ("a", 5.0), ("b", 0.125),
    ]  # fmt: skip


def test_changes_of_a_commit_whose_files_are_gone_are_those_of_its_months(tables: DeltaTables) -> None:
    add_hours(tables, [FIRST_DAY])
    (version,) = versions(tables, "hourly_load")
    first = int(START.timestamp()) // 3600
    tables.replace("hourly_load", tables.read("hourly_load").localCheckpoint(), "month = '2016-02'")
    assert hour_changes(tables, version, version + 1).hours == (first, first + 11)
    tables.replace("hourly_load", tables.read("hourly_load").localCheckpoint(), "month = '2016-02'")
    forgotten(tables, "hourly_load")
    february = hour_changes(tables, version, version + 1)
    assert (february.hours[0], len(february.hours)) == (first - 27 * 24, 29 * 24)
    assert not february.everything


def test_a_month_with_late_data_keeps_few_files_and_a_steady_room_for_each_row(tables: DeltaTables) -> None:
    """Two servers, two batches a day, one session in twenty late, upkeep each fifth day.

    The room is a few versions of the month's file, those of the last days: without VACUUM each upkeep would add one,
    and ten of them would take twice as much a row at the end as after twelve days. The log is that of some days.
    """
    nights = [done[0] for done in month(tables, Fleet(2, 2), compact_every=5, advance=False)]
    (end,) = run_sql(tables.home, "select count(*) as n, max(window_start) as last from load_windows").to_pylist()
    windows = run_sql(tables.home, "select count(*) as n from load_window_sums").to_pylist()[0]["n"]
    assert len(nights) == 6
    assert windows == 2 * 30 * 288
    assert windows < end["n"] < windows * 1.05  # only the last day has several rows a window
    assert [night.after.files for night in nights] == [1] * 6
    room = [night.after.disk_bytes / night.after.rows for night in nights]
    assert room[-1] < 1.25 * room[3]
    log = Path(tables.path("load_windows"), "_delta_log")
    assert len(list(log.glob("*.json"))) <= 12 * 5
