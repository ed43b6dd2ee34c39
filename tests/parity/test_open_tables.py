"""Every table of a home opens with the common readers, without Spark."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from batch.backfill import backfill
from batch.features import update_features
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.contracts.tables import TABLES
from serverload.store.delta_tables import DeltaTables

START = date(2016, 2, 28)
ISSUED = datetime(2016, 2, 29, 20, tzinfo=UTC)
MADE = {
    "load_windows", "rejects", "ingest_log", "ingested_files", "backfill_plans", "hourly_load", "servers", "features",
    "forecasts", "shadow_forecasts", "forecast_outcomes", "stream_log",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    history = tmp_path_factory.mktemp("history")
    generate_history(history, servers=3, days=2, start=START, seed=3, dirty=0.1)
    settings = load_settings(flags={"model": {"training_horizons": "1,24"}})
    tables = DeltaTables(spark, str(place))
    backfill(tables, settings.ingest, [str(history)], Silent())
    Advance(tables, settings).run()
    update_features(tables, settings, Silent())
    put(tables, "forecasts", [FORECAST | {"horizon_hours": hours, "target_hour": at(hours)} for hours in (1, 2, 5)])
    put(tables, "shadow_forecasts", [FORECAST | {"model_version": "4"}])
    put(tables, "forecast_outcomes", [OUTCOME, OUTCOME | {"outcome_revision": 1, "actual_class": "high"}])
    put(tables, "stream_log", [EVENT])
    return place


def at(hours: int) -> datetime:
    return ISSUED + timedelta(hours=hours)


FORECAST: dict[str, object] = {
    "server_ip": "10.0.0.1",
    "issued_hour": ISSUED,
    "horizon_hours": 1,
    "target_hour": at(1),
    "workload_class": "low",
    "probability_low": 0.5,
    "probability_medium": 0.3,
    "probability_high": 0.2,
    "model_name": "forest",
    "model_version": "3",
    "revision": 0,
    "issued_at": at(1),
    "target_date": ISSUED.date(),
}
OUTCOME: dict[str, object] = FORECAST | {
    "actual_class": "medium",
    "actual_peak_load": 250.000001,
    "correct": False,
    "probability_of_actual": 0.3,
    "outcome_revision": 0,
    "matured_at": at(3),
}

EVENT = {
    "event_at": at(1),
    "checkpoint_id": "1",
    "event": "model_refused",
    "model_version": None,
    "detail": "it wants a feature that is not there",
}


def put(tables: DeltaTables, name: str, rows: Sequence[dict[str, object]]) -> None:
    """Append rows; columns that they do not name are null."""
    filled = [tuple(row.get(column) for column in TABLES[name].column_names) for row in rows]
    tables.append(name, tables.spark.createDataFrame(filled, TABLES[name].ddl))


def test_the_jobs_leave_these_tables(home: Path) -> None:
    assert {folder.name for folder in (home / "tables").iterdir()} >= MADE


@pytest.mark.parametrize("name", TABLES)
def test_a_table_opens_with_every_reader(home: Path, name: str) -> None:
    place = home / "tables" / name
    columns = set(TABLES[name].column_names)
    delta = DeltaTable(place)

    as_arrow = delta.to_pyarrow_table()
    as_polars = pl.read_delta(str(place))
    as_lazy = pl.scan_delta(str(place)).select(pl.len()).collect().item()
    as_pandas = delta.to_pandas()
    with duckdb.connect() as connection:
        connection.register(name, delta.to_pyarrow_dataset())
        duck = connection.sql(f"from {name}")
        duck_columns, duck_rows = duck.columns, len(duck.fetchall())

    assert [field.name for field in delta.schema().fields] == list(TABLES[name].column_names)
    assert (
        set(as_arrow.column_names) == set(as_polars.columns) == set(as_pandas.columns) == set(duck_columns) == columns
    )
    assert as_arrow.num_rows == as_polars.height == as_lazy == len(as_pandas) == duck_rows > 0


@pytest.mark.parametrize("name", TABLES)
def test_a_table_asks_for_no_newer_protocol(home: Path, name: str) -> None:
    place = home / "tables" / name
    protocol = DeltaTable(place).protocol()

    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features
    assert not protocol.writer_features


def test_the_readers_see_the_same_times_and_values(home: Path) -> None:
    place = str(home / "tables" / "forecast_outcomes")

    polars_row = pl.read_delta(place).sort("outcome_revision").row(0, named=True)
    pandas_row = DeltaTable(place).to_pandas().sort_values("outcome_revision").iloc[0]
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("outcomes", DeltaTable(place).to_pyarrow_dataset())
        query = "select target_hour, target_date, correct, actual_peak_load from outcomes where outcome_revision = 0"
        (duck_row,) = connection.sql(query).fetchall()

    wanted = (at(1), ISSUED.date(), False, 250.000001)
    assert duck_row == wanted
    assert tuple(polars_row[name] for name in ("target_hour", "target_date", "correct", "actual_peak_load")) == wanted
    assert pandas_row["target_hour"] == pd.Timestamp(at(1))
    assert pandas_row["actual_peak_load"] == 250.000001
