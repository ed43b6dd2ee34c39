"""The Spark frames hold what the pure functions say, server by server."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import hour_number
from serverload.contracts.tables import TABLES
from serverload.steps.feature_frames import (
    CLIMATOLOGY,
    feature_frame,
    fleet_hours,
    forecast_feature_frame,
    workload_class_column,
)
from serverload.steps.features import feature_rows, forecast_pairs, training_pairs
from serverload.steps.hours import FleetHours, server_hours
from serverload.steps.labels import workload_class
from serverload.steps.own_climatology import own_climatology

START = hour_number(datetime(2015, 12, 20, tzinfo=UTC))
CLOSED = START + 1500
OPEN = CLOSED + 3
LIMITS = {"low_max": 100.0, "medium_max": 500.0}
HORIZONS = (1, 3, 48)
SERVERS = {
    "10.0.0.1": range(OPEN - START),
    "10.0.0.2": [hour for hour in range(OPEN - START) if hour % 3],
    "10.0.0.3": range(1200, 1500, 7),
    "10.0.0.4": range(300),  # retired long before the end
    "fe80::5": range(1501, OPEN - START),  # born after the newest closed hour
}
SILENT = set(range(1300, 1320))


def observed(server_ip: str) -> tuple[np.ndarray, np.ndarray]:
    """Its hours, and eight peaks for each: whole millionths, drawn with the server's place as the seed."""
    hours = np.array([hour for hour in SERVERS[server_ip] if hour not in SILENT], dtype=np.int64)
    rng = np.random.default_rng(list(SERVERS).index(server_ip))
    return START + hours, rng.integers(0, 900_000_000, (len(PEAKS), hours.size)) / 1e6


@pytest.fixture(scope="module")
def hourly(spark) -> DataFrame:
    """Table `hourly_load` of all servers, its rows in no order."""
    parts = []
    for server_ip in SERVERS:
        hours, peaks = observed(server_ip)
        part = pl.DataFrame({"hour": hours, **dict(zip(PEAKS, peaks, strict=True))})
        parts.append(part.with_columns(pl.lit(server_ip).alias("server_ip")))
    shuffled = pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=5)
    hour = sf.timestamp_seconds(sf.col("hour") * 3600)
    frame = spark.createDataFrame(shuffled.to_arrow(compat_level=pl.CompatLevel.oldest())).withColumn("hour", hour)
    rest = {"sessions": sf.lit(1), "peak_window_start": sf.col("hour"), "month": sf.date_format("hour", "yyyy-MM")}
    return frame.withColumns(rest).select(*TABLES["hourly_load"].column_names).cache()


@pytest.fixture(scope="module")
def servers(hourly) -> DataFrame:
    return hourly.groupBy("server_ip").agg(sf.min("hour").alias("first_hour"))


def whole_history(server_ip: str, last_hour: int):
    hours, peaks = observed(server_ip)
    every = np.concatenate([observed(ip)[0] for ip in SERVERS])
    first = int(hours.min())
    when = {"first_hour": first, "grid_start": first, "last_hour": last_hour, "retire_after_hours": 168}
    return server_hours(hours, peaks, fleet=FleetHours.of(every), **when)


def sorted_rows(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return sorted(rows, key=lambda row: row[:3])


def on_the_driver(frame: DataFrame) -> pl.DataFrame:
    rows = pl.from_arrow(frame.toArrow())
    assert isinstance(rows, pl.DataFrame)
    return rows


@pytest.mark.parametrize("first_target", [START, START + 1290], ids=["whole history", "last days from a slice"])
def test_training_features_are_the_pure_functions_rows_of_each_server(hourly, servers, first_target):
    frame = feature_frame(
        hourly,
        servers,
        fleet_hours(hourly),
        closed_until=CLOSED,
        first_target=first_target,
        last_target=OPEN,
        horizons=HORIZONS,
        retire_after_hours=168,
        **LIMITS,
    )
    expected = []
    for server_ip in SERVERS:
        server = whole_history(server_ip, CLOSED)
        targets, horizons = training_pairs(server, CLOSED, first_target, OPEN, HORIZONS)
        label = workload_class(server.peaks[0, targets - server.grid_start], **LIMITS).to_list()
        rows = feature_rows(server, targets, horizons).rows()
        expected += [(server_ip, *row, name) for row, name in zip(rows, label, strict=True)]
    told = on_the_driver(frame)
    assert frame.columns == list(TABLES["features"].column_names)
    assert (
        frame.schema.simpleString()
        == hourly.sparkSession.createDataFrame([], TABLES["features"].ddl).schema.simpleString()
    )
    assert set(told["server_ip"]) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"} | (
        {"10.0.0.4"} if first_target == START else set()
    )
    assert sorted_rows(told.rows()) == sorted_rows(expected)


def test_forecasts_are_for_servers_seen_in_the_last_168_hours(hourly, servers):
    origin = START + 467  # 10.0.0.4 was last seen at hour 299: 168 hours before the next one
    seen = {origin: ("10.0.0.1", "10.0.0.2"), origin - 1: ("10.0.0.1", "10.0.0.2", "10.0.0.4")}
    for origins in ([origin], [origin - 1], [origin - 1, origin]):
        frame = forecast_feature_frame(
            hourly,
            servers,
            fleet_hours(hourly),
            origins=origins,
            horizons=range(1, 49),
            retire_after_hours=168,
            **LIMITS,
        )
        names = [name for name in TABLES["features"].column_names if name != "label"]
        assert frame.columns == [*names, "known_hours_7d", "known_hours_28d", *CLIMATOLOGY]
        expected = []
        for issued, server_ip in ((each, server_ip) for each in origins for server_ip in seen[each]):
            pairs = forecast_pairs([issued], range(1, 49))
            server = whole_history(server_ip, issued)
            usual, recent, known = own_climatology(server, pairs[0], pairs[0] - pairs[1], **LIMITS)
            beside = zip(recent.tolist(), known.tolist(), usual.tolist(), strict=True)
            rows = feature_rows(server, *pairs).rows()
            expected += [
                (server_ip, *row, last, all_, *usual) for row, (last, all_, usual) in zip(rows, beside, strict=True)
            ]
        assert sorted_rows(on_the_driver(frame).rows()) == sorted_rows(expected)


def test_servers_that_come_in_several_arrow_batches_have_the_same_rows(hourly, servers, spark):
    def frame() -> list[tuple[object, ...]]:
        made = forecast_feature_frame(
            hourly, servers, fleet_hours(hourly), origins=[CLOSED - 200, CLOSED], horizons=HORIZONS,
            retire_after_hours=168, **LIMITS,
        )  # fmt: skip
        return sorted_rows([tuple(row) for row in made.collect()])

    whole = frame()
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    try:
        assert frame() == whole
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "100000")
    assert len({row[0] for row in whole}) == 3


def test_the_fleets_hours_are_the_hours_with_any_server(hourly):
    asked = np.arange(START - 5, OPEN + 5)
    every = {int(hour) for ip in SERVERS for hour in observed(ip)[0]}
    assert fleet_hours(hourly).contains(asked).tolist() == [int(hour) in every for hour in asked]


def test_a_server_without_its_row_in_servers_is_an_error_that_names_it(hourly, servers):
    others = servers.where("server_ip != '10.0.0.2'")
    frame = forecast_feature_frame(
        hourly, others, fleet_hours(hourly), origins=[CLOSED], horizons=(1,), retire_after_hours=168, **LIMITS
    )
    with pytest.raises(Exception, match=r"servers: no row for 10\.0\.0\.2"):
        frame.collect()


def test_the_class_column_agrees_with_the_pure_function(spark):
    loads = [0.0, 99.999999, 100.0, 100.0000004, 100.000001, 0.1 + 0.2, 500.0, 500.000001, 9e12, float("nan"), None]
    frame = spark.createDataFrame([(load,) for load in loads], "peak_load double")
    told = [row[0] for row in frame.select(workload_class_column(sf.col("peak_load"), **LIMITS)).collect()]
    assert told == ["low", "low", "low", "low", "medium", "low", "medium", "high", "high", None, None]
    assert told == workload_class(np.array(loads, dtype=np.float64), **LIMITS).to_list()
