"""Nothing after an origin reaches its forecasts: the future changed at random leaves them bit for bit the same."""

import random

import pytest
from advance_cases import FIRST, NOW, SERVERS, SETTINGS, Model, add_hours
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from batch.features import update_features
from serverload.advance import Advance
from serverload.advance.forecasts import IssueRules, scored_forecasts
from serverload.contracts.instants import hour_start
from serverload.contracts.progress import Silent
from serverload.contracts.tables import TABLES
from serverload.model.decision import Decision
from serverload.model.pipeline import forest_pipeline
from serverload.store.delta_tables import DeltaTables

ORIGIN = NOW - 60


@pytest.fixture(scope="module")
def tables(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DeltaTables:
    made = DeltaTables(spark, str(tmp_path_factory.mktemp("home")))
    add_hours(made, FIRST, NOW)
    Advance(made, SETTINGS).run()
    update_features(made, SETTINGS, Silent())
    return made


@pytest.fixture(scope="module")
def model(tables: DeltaTables) -> Model:
    """One that has seen every hour, so that it would tell if it were shown a later one."""
    return Model(forest_pipeline("full", trees=20, depth=8, seed=1).fit(tables.read("features").coalesce(1).cache()))


def said(hours: DataFrame, servers: DataFrame, model: Model, origin: int) -> list[tuple[object, ...]]:
    """Rows of `forecasts` but for the time of writing, sorted."""
    rows = scored_forecasts(hours, servers, model, Decision(), [origin - 1, origin], IssueRules.of(SETTINGS))
    return sorted((tuple(row) for row in rows.drop("issued_at").collect()), key=repr)


def with_another_future(tables: DeltaTables, seed: int) -> tuple[DataFrame, DataFrame]:
    """Hours and servers where what comes after ORIGIN is drawn: hours gone, added and of other load, a new server."""
    drawn, hourly, names = random.Random(seed), tables.read("hourly_load"), TABLES["hourly_load"].column_names
    cells = []
    for hour in range(ORIGIN + 1, NOW + 48):
        for server_ip in (*SERVERS, "10.0.0.4"):
            if drawn.random() < 0.5:
                start = hour_start(hour)
                load = {name: drawn.choice((0.0, drawn.uniform(0, 2000))) for name in names if name.startswith("peak_")}
                row = load | {"server_ip": server_ip, "hour": start, "sessions": 1, "month": f"{start:%Y-%m}"}
                cells.append(tuple(row.get(name) for name in names if name != "peak_window_start"))
    kept = [column for column in TABLES["hourly_load"].columns if column.name != "peak_window_start"]
    future = tables.spark.createDataFrame(cells, ", ".join(f"{each.name} {each.type}" for each in kept))
    before = hourly.where(sf.col("hour") <= sf.lit(hour_start(ORIGIN))).drop("peak_window_start")
    servers = tables.read("servers").withColumn("last_event", sf.lit(hour_start(NOW + 47)))
    newcomer = servers.limit(1).withColumns(
        {"server_ip": sf.lit("10.0.0.4"), "first_hour": sf.lit(hour_start(ORIGIN + 1))}
    )
    return before.unionByName(future), servers.unionByName(newcomer)


def test_a_future_drawn_anew_changes_no_forecast(tables: DeltaTables, model: Model) -> None:
    known = said(tables.read("hourly_load"), tables.read("servers"), model, ORIGIN)
    assert len(known) == 2 * 48 * len(SERVERS)

    hours, servers = with_another_future(tables, seed=1)

    assert said(hours, servers, model, ORIGIN) == known
    assert said(hours, servers, model, ORIGIN + 24) != said(
        tables.read("hourly_load"), tables.read("servers"), model, ORIGIN + 24
    )
