"""A real backfill of bad files, held to the row and to the micro against a recomputation in DuckDB."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable
from dirty_history import BAD_SERVERS, SERVERS, draw_history
from duckdb import DuckDBPyConnection
from pyspark.sql import SparkSession
from recomputation import MEASURES, raw_lines, recompute

from batch.backfill import backfill
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables

SEED = 20160229
PARTS = {"range_bytes": 20_000, "batch_bytes": 500_000}
BOUNDS: dict[str, object] = {
    "only_servers": [*SERVERS[:-1], *BAD_SERVERS[:-3], "fe80::1", "172.16.0.1", "ServerIP"],
    "earliest": "2016-01-01T00:00:30Z",
    "latest": "2099-01-01T00:00:00Z",
    "cutover": "2100-12-31T23:30:00.000001Z",
}
MICROS = ", ".join(f"cast(round({name} * 1e6) as bigint) as {name}" for name in MEASURES)
PEAKS = ", ".join(
    f"cast(round({name} * 1e6) as bigint)" for name in ("peak_load", *(f"peak_{m}" for m in MEASURES[1:]))
)
FOUND = {
    "windows": f"""
        select server_ip, epoch_us(window_start), sum(sessions)::bigint,
            {", ".join(f"sum({name})::bigint" for name in MEASURES)}, max(epoch_us(last_event)),
            (max({{'event': epoch_us(server_type_at), 'type': server_type}})
                filter (where server_type is not null)).type,
            max(epoch_us(server_type_at))
        from (select * replace ({MICROS}) from load_windows) group by server_ip, window_start
    """,
    "hours": f"select server_ip, epoch_us(hour), sessions, epoch_us(peak_window_start), {PEAKS} from hourly_load",
    "servers": "select server_ip, epoch_us(first_hour), epoch_us(last_event), server_type from servers",
    "log": """
        select batch_id, read, accepted, skipped, epoch_us(first_event), epoch_us(last_event) from ingest_log
    """,
    "reasons": "select batch_id, entry.key, entry.value from (select batch_id, unnest(map_entries(rejected_by_reason))"
    " as entry from ingest_log)",
    "repairs": "select batch_id, entry.key, entry.value from (select batch_id, unnest(map_entries(repaired_by_field))"
    " as entry from ingest_log)",
    "rejects": "select origin, batch_id, epoch_us(rejected_at), reason from rejects",
}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return draw_history(tmp_path_factory.mktemp("dirt").resolve(), SEED, datetime.now(UTC))


@pytest.fixture(scope="module")
def both(
    spark: SparkSession, history: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DuckDBPyConnection]:
    """The product's tables and, beside them, the `expected_*` tables of the recomputation."""
    settings = load_settings(flags={"ingest": PARTS | BOUNDS})
    tables = DeltaTables(spark, str(tmp_path_factory.mktemp("home")))
    backfill(tables, settings.ingest, [str(history[0].parent)], Silent(), force=True)
    Advance(tables, settings).run()
    with duckdb.connect() as connection:
        for name in ("load_windows", "rejects", "ingest_log", "ingested_files", "hourly_load", "servers"):
            connection.register(name, DeltaTable(tables.path(name)).to_pyarrow_dataset())
        connection.register("raw", raw_lines(history))
        batches = "ingested_files join ingest_log using (batch_id)"
        of_files = f"select uri, batch_id, epoch_us(batch_time) as batch_time from {batches}"
        lines = connection.sql(f"select * from raw join ({of_files}) using (uri)").to_arrow_table()
        recompute(connection, lines, {name: in_micros(bound) for name, bound in BOUNDS.items()})
        yield connection


def in_micros(bound: object) -> object:
    return int(datetime.fromisoformat(bound).timestamp() * 1e6) if isinstance(bound, str) else bound


def ask(connection: DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = connection.sql(query).fetchall()
    return rows


@pytest.mark.parametrize("name", FOUND)
def test_every_row_is_the_recomputed_one(both: DuckDBPyConnection, name: str) -> None:
    found, expected = FOUND[name], f"from expected_{name}"

    assert ask(both, f"select count(*) > 0 {expected}") == [(True,)]
    assert ask(both, f"({expected}) except all ({found})") == []
    assert ask(both, f"({found}) except all ({expected})") == []


def test_every_line_is_accounted_for_in_each_batch(both: DuckDBPyConnection) -> None:
    query = "select read - accepted - rejected - skipped, lost_offsets from ingest_log"
    assert set(ask(both, query)) == {(0, 0)}
    assert ask(both, "select sum(sessions) from load_windows") == ask(both, "select sum(accepted) from ingest_log")
    assert ask(both, "select count(*) from rejects") == ask(both, "select sum(rejected) from ingest_log")


def test_a_batch_has_one_row_a_server_and_window(both: DuckDBPyConnection) -> None:
    twice = "select 1 from load_windows group by server_ip, window_start, source, batch_id having count(*) > 1"
    assert ask(both, twice) == []


def test_a_refused_line_keeps_its_text_up_to_four_kilobytes(both: DuckDBPyConnection) -> None:
    cut_or_other = """
        select body, line from rejects join judged on origin = uri || ':' || start where body is not null
        and not (line = body or starts_with(body, line) and octet_length(encode(line)) between 4093 and 4096)
    """
    assert ask(both, cut_or_other) == []
    assert ask(both, "select max(octet_length(encode(line))) <= 4096 from rejects") == [(True,)]


def test_partitions_are_the_utc_months(both: DuckDBPyConnection) -> None:
    wrong = "select * from {} where month <> strftime({} at time zone 'UTC', '%Y-%m')"
    assert ask(both, wrong.format("load_windows", "window_start")) == []
    assert ask(both, wrong.format("hourly_load", "hour")) == []


def test_the_drawn_files_hold_what_they_are_for(both: DuckDBPyConnection) -> None:
    reasons = {"encoding", "columns", "header", "session_start", "server_ip", "total_load", "outside", "ahead"}
    tied = (
        "select 1 from expected_windows group by server_ip, window_start // 3600000000, total_load having count(*) > 1"
    )
    largest = f"select max(greatest({', '.join(f'abs({name})' for name in MEASURES)})) from expected_windows"
    windows = "count(distinct (server_ip, window_start))"

    assert {reason for (reason,) in ask(both, "select reason from expected_reasons")} == reasons
    assert ask(both, "select count(distinct field) from expected_repairs") == [(8,)]
    assert ask(both, "select count_if(event >= cutover) > 0, count(*) > 100 from judged where fate = 'skipped'") == [
        (True, True)
    ]
    assert ask(both, f"select count(*) > 4 from ({tied})") == [(True,)]
    assert ask(both, f"select ({largest}) between 1e15 and 4e15") == [(True,)]
    assert ask(both, f"select count(*) > {windows} + 20 from load_windows") == [(True,)]
