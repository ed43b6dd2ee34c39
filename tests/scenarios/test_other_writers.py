"""Tables that another program has written to: what it took away is gone everywhere, and what does not fit is told."""

import shutil
from datetime import date
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.backfill import backfill
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.errors import StoreError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.home_snapshot import HomeSnapshot
from serverload.store.table_reader import run_sql
from serverload.verify.hours import hours_check, servers_check

SETTINGS = load_settings()


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    return list(generate_history(tmp_path / "csv", servers=3, days=3, start=date(2016, 2, 28), seed=4, dirty=0).files)


@pytest.fixture
def tables(spark: SparkSession, days: list[Path], tmp_path: Path) -> DeltaTables:
    """A home with two days; the next job on it begins anew."""
    tables = DeltaTables(spark, str(tmp_path / "home"))
    filled(tables, days[:2])
    return DeltaTables(spark, tables.home)


def filled(tables: DeltaTables, files: list[Path]) -> None:
    backfill(tables, SETTINGS.ingest, [str(file) for file in files], Silent())
    Advance(tables, SETTINGS).run()


def servers(home: str, table: str) -> list[str]:
    return [row["server_ip"] for row in run_sql(home, f"select distinct server_ip from {table} order by 1").to_pylist()]


def rows_of(home: str, name: str) -> list[str]:
    rows = run_sql(home, f"select * from {name}").to_pylist()
    return sorted(repr({column: entry for column, entry in row.items() if column != "theirs"}) for row in rows)


def test_rows_that_were_deleted_take_their_hours_and_servers_with_them(tables: DeltaTables, days: list[Path]) -> None:
    first, *others = servers(tables.home, "servers")
    DeltaTable.forPath(tables.spark, tables.path("load_windows")).delete(F.col("server_ip") == first)

    Advance(tables, SETTINGS).run()

    for table in ("load_windows", "hourly_load", "servers"):
        assert servers(tables.home, table) == others
    filled(tables, days)
    snapshot = HomeSnapshot(tables)
    for check in (hours_check(snapshot), servers_check(snapshot)):
        assert (check.result, check.compared > 0) == ("agrees", True), check


def test_a_column_more_or_less_changes_nothing(tables: DeltaTables, days: list[Path], tmp_path: Path) -> None:
    spark = tables.spark
    for name in ("load_windows", "hourly_load", "servers"):
        spark.sql(f"ALTER TABLE delta.`{tables.path(name)}` ADD COLUMNS (theirs STRING)")
    older = spark.read.format("delta").load(tables.path("ingest_log")).drop("from_offsets", "until_offsets")
    writer = older.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.save(tables.path("ingest_log"))

    filled(tables, days)

    untouched = DeltaTables(spark, str(tmp_path / "untouched"))
    filled(untouched, days)
    for name in ("load_window_sums", "hourly_load", "servers"):
        found, expected = (rows_of(home, name) for home in (tables.home, untouched.home))
        assert found == expected
    noted = "select count(*) as batches, count(until_offsets) as noted from ingest_log"
    assert run_sql(tables.home, noted).to_pylist() == [{"batches": 2, "noted": 0}]


def test_a_column_of_another_type_is_told_and_the_table_can_be_deleted(tables: DeltaTables, days: list[Path]) -> None:
    path = tables.path("hourly_load")
    as_text = tables.spark.read.format("delta").load(path).withColumn("peak_load", F.col("peak_load").cast("string"))
    as_text.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)

    with pytest.raises(StoreError) as told:
        filled(tables, days)

    assert str(told.value) == (
        "hourly_load: column peak_load is of type string, not double: another program has changed the table; "
        "see `A table that another program has changed` in docs/runbook.md"
    )
    shutil.rmtree(path)
    shutil.rmtree(tables.path("servers"))
    again = DeltaTables(tables.spark, tables.home)
    filled(again, days)
    snapshot = HomeSnapshot(again)
    for check in (hours_check(snapshot), servers_check(snapshot)):
        assert (check.result, check.compared > 0) == ("agrees", True), check
