"""Data files that Spark's tasks write by Arrow belong to the table as if Spark had written them."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.errors import PythonException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from serverload.contracts.lines import MEASURES
from serverload.contracts.tables import TABLES
from serverload.store import data_files
from serverload.store.data_files import write_files
from serverload.store.delta_kernel import Transaction, commit_files
from serverload.store.delta_tables import DeltaTables

START = datetime(2016, 2, 29, 23, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


def windows(rows: int) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.Table]]:
    """Makes rows of `load_windows` from February into March, a table for each number that comes in."""

    def tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:  # travels to the workers by value
        for batch in batches:
            for number in batch.column(0).to_pylist():
                starts = [START + timedelta(minutes=5 * (number + row)) for row in range(rows)]
                yield pa.table(
                    {
                        "server_ip": [f"10.0.0.{number}"] * rows,
                        "window_start": pa.array(starts, TIME),
                        "sessions": pa.array([1] * rows, pa.int64()),
                        **{name: [0.5] * rows for name in MEASURES},
                        "last_event": pa.array(starts, TIME),
                        "server_type": pa.array([None] * rows, pa.int32()),
                        "server_type_at": pa.array([None] * rows, TIME),
                        "source": ["live"] * rows,
                        "batch_id": pa.array([number] * rows, pa.int64()),
                        "month": [f"{start:%Y-%m}" for start in starts],
                    }
                )

    return tables


def append(tables: DeltaTables, version: int, rows: int = 30) -> None:
    number = tables.spark.range(version, version + 1, 1, 1)
    tables.append_arrow("load_windows", number, windows(rows), Transaction("test", version))


def test_a_transaction_is_appended_once(spark: SparkSession, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path / "a home, 100% new"))
    for version in (0, 0, 1, 0):
        append(tables, version)

    assert tables.version("load_windows") == 2
    rows = tables.read("load_windows")
    assert rows.count() == 60
    assert rows.where("month = '2016-03' and window_start < '2016-03-01'").isEmpty()
    assert rows.agg(F.countDistinct("month")).collect()[0][0] == 2
    assert DeltaTable(tables.path("load_windows")).to_pyarrow_table().num_rows == 60


def test_a_commit_names_its_files_and_their_bounds(spark: SparkSession, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path))
    append(tables, 7)

    commit = tables.log("load_windows").commit(1)
    assert commit is not None
    assert sorted(file.partition["month"] for file in commit.files) == ["2016-02", "2016-03"]
    text = (tmp_path / "tables/load_windows/_delta_log" / f"{1:020d}.json").read_text()
    (march,) = (json.loads(line)["add"] for line in text.splitlines() if "month=2016-03/" in line)
    stats = json.loads(march["stats"])
    assert stats["numRecords"] == 25
    assert stats["minValues"] == {"window_start": "2016-03-01T00:00:00.000Z", "batch_id": 7}
    assert stats["maxValues"] == {"window_start": "2016-03-01T02:00:00.000Z", "batch_id": 7}
    assert march["size"] == (tmp_path / "tables/load_windows" / march["path"]).stat().st_size


def test_both_ways_of_writing_take_turns_over_checkpoints(spark: SparkSession, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path))
    for version in range(25):
        append(tables, version)
        if version % 6 == 0:
            by_spark = (
                tables.read("load_windows").where("batch_id = 0").withColumn("batch_id", F.lit(-1).cast("bigint"))
            )
            tables.append("load_windows", by_spark, Transaction("spark", version))

    log = tmp_path / "tables/load_windows/_delta_log"
    assert len(list(log.glob("*.checkpoint.parquet"))) >= 2
    assert tables.read("load_windows").groupBy().count().collect()[0][0] == 25 * 30 + 5 * 30
    append(tables, 24)
    assert DeltaTables(spark, str(tmp_path)).version("load_windows") == 30
    assert DeltaTable(tables.path("load_windows")).to_pyarrow_table().num_rows == 900


def written(folder: str, number: int) -> list[dict[str, object]]:
    rows = windows(3)([pa.RecordBatch.from_pydict({"id": [number]})])
    return pa.Table.from_batches(write_files(folder, "month", ("window_start",), rows)).to_pylist()


def test_a_checkpoint_that_cannot_be_written_does_not_fail_the_commit(spark: SparkSession, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path))
    append(tables, 0)
    (tmp_path / "tables/load_windows/_delta_log/_last_checkpoint").mkdir()

    for version in range(1, 12):
        append(tables, version)

    assert tables.version("load_windows") == 12
    assert tables.read("load_windows").count() == 12 * 30


def test_rows_that_do_not_fit_the_table_are_not_committed(spark: SparkSession, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path))
    made = windows(3)

    def without_sessions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        return (rows.drop_columns("sessions") for rows in made(batches))

    with pytest.raises(PythonException, match="sessions"):
        tables.append_arrow("load_windows", spark.range(1), without_sessions, Transaction("test", 0))
    assert tables.version("load_windows") == 0


def test_what_was_written_before_a_failure_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "_WAITING_BYTES", 1)

    def broken() -> Iterator[pa.Table]:
        yield from windows(20)([pa.RecordBatch.from_pydict({"id": [1]})])
        assert list(tmp_path.rglob("*.parquet"))
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        list(write_files(str(tmp_path), "month", ("window_start",), broken()))
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_largest_time_is_rounded_up_to_a_millisecond(tmp_path: Path) -> None:
    times = [START + timedelta(microseconds=1), None, START + timedelta(microseconds=1001)]
    rows = pa.table({"month": ["2016-02"] * 3, "time": pa.array(times, TIME)})

    (file,) = pa.Table.from_batches(write_files(str(tmp_path), "month", ("time",), [rows])).to_pylist()

    assert json.loads(file["stats"]) == {
        "numRecords": 3,
        "minValues": {"time": "2016-02-29T23:00:00.000Z"},
        "maxValues": {"time": "2016-02-29T23:00:00.002Z"},
        "nullCount": {"time": 1},
    }


def test_a_few_rows_are_what_spark_would_have_written(spark: SparkSession, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path))
    row = dict.fromkeys(TABLES["ingest_log"].column_names)
    row |= {"source": "live", "checkpoint_id": "c", "batch_time": START + timedelta(microseconds=7), "read": 2**40}
    row |= {"rejected_by_reason": {"header": 1, "columns": 2}, "repaired_by_field": {}}
    by_batch = [{**row, "batch_id": number} for number in range(3)]
    tables.append_rows("ingest_log", by_batch[:2], Transaction("test", 0))
    tables.append_rows("ingest_log", by_batch[:2], Transaction("test", 0))
    tables.append_rows("ingest_log", by_batch[2:])

    spark_made = DeltaTables(spark, str(tmp_path / "other"))
    ordered = [tuple(row[name] for name in TABLES["ingest_log"].column_names) for row in by_batch]
    spark_made.append("ingest_log", spark.createDataFrame(ordered, TABLES["ingest_log"].ddl))

    assert tables.version("ingest_log") == 2
    written, expected = (each.read("ingest_log").orderBy("batch_id") for each in (tables, spark_made))
    assert written.schema == expected.schema
    assert written.collect() == expected.collect()
    without_spark = DeltaTable(tables.path("ingest_log")).to_pyarrow_table().sort_by("batch_id").to_pylist()
    assert [row["batch_id"] for row in without_spark] == [0, 1, 2]
    assert dict(without_spark[2]["rejected_by_reason"]) == {"header": 1, "columns": 2}


def test_two_writers_at_once_both_land(spark: SparkSession, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path))
    tables.create("load_windows")
    path = tables.path("load_windows")
    files = {writer: [written(path, writer) for _ in range(5)] for writer in (1, 2)}

    def commit(writer: int) -> None:
        for version, added in enumerate(files[writer]):
            commit_files(spark, path, added, Transaction(f"writer {writer}", version))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(commit, files))

    assert tables.version("load_windows") == 10
    assert tables.read("load_windows").count() == 30


def test_waiting_rows_are_written_group_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "_WAITING_BYTES", 4000)
    numbers = pa.RecordBatch.from_pydict({"id": list(range(20))})

    batches = list(write_files(str(tmp_path), "month", ("window_start",), windows(20)([numbers])))

    files = pa.Table.from_batches(batches).to_pylist()
    read = {file["partition"]: pa.parquet.ParquetFile(tmp_path / file["path"]) for file in files}
    assert all(file.num_row_groups > 5 for file in read.values())
    rows = pa.concat_tables([file.read() for file in read.values()])
    expected = pa.concat_tables(list(windows(20)([numbers]))).drop_columns("month")
    assert sorted(rows.to_pylist(), key=str) == sorted(expected.to_pylist(), key=str)
    assert sum(json.loads(file["stats"])["numRecords"] for file in files) == 400
