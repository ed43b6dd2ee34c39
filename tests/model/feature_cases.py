"""Rows of `features` for tests: drawn ones, and those of a small simulated fleet."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from serverload.contracts.feature_columns import NULLABLE_FEATURES, PEAKS
from serverload.contracts.instants import hour_number
from serverload.contracts.tables import TABLES
from serverload.steps.calendar_features import calendar_columns
from serverload.steps.feature_frames import feature_frame, fleet_hours

LIMITS = {"low_max": 100.0, "medium_max": 500.0}
MONDAY = datetime(2016, 6, 6, tzinfo=UTC)
_NULLABLE = [column.name for column in NULLABLE_FEATURES]


def drawn_features(spark: SparkSession, rows: Sequence[Mapping[str, object]]) -> DataFrame:
    """Rows of `features`: `target_hour` told as `day` (0: Monday 2016-06-06) and `hour`; what is not told is null."""
    return spark.createDataFrame([_row(row) for row in rows], TABLES["features"].ddl)


def steady(load: float) -> dict[str, object]:
    """What a row tells of a server that has always had this load."""
    return dict.fromkeys(_NULLABLE, float(load))


def history(loads: Mapping[str, int]) -> list[dict[str, object]]:
    """Forty rows of each class, their loads from the one told for the class up."""
    return [
        {"day": n // 24, "hour": n % 24, "label": label, **steady(load + n)}
        for label, load in loads.items()
        for n in range(40)
    ]


def _row(told: Mapping[str, object]) -> tuple[object, ...]:
    target = MONDAY + timedelta(days=int(told.get("day", 0)), hours=int(told.get("hour", 0)))
    row = calendar_columns(np.array([hour_number(target)])).to_dicts()[0]
    row |= {"server_ip": "10.0.0.1", "target_hour": target, "horizon_hours": 48, "label": None}
    row |= dict.fromkeys(_NULLABLE) | dict(told)
    row |= {f"missing_{name}": row[name] is None for name in _NULLABLE}
    return tuple(row[name] for name in TABLES["features"].column_names)


def simulated_hours(servers: int, days: int, *, seed: int = 1, start: datetime = MONDAY) -> pl.DataFrame:
    """`hourly_load` of a fleet with a daily pattern, noise and a few idle hours; its levels span the three classes."""
    random = np.random.default_rng(seed)
    hours = np.arange(24 * days)
    parts = []
    for server in range(servers):
        level = np.log(30) + server * np.log(60) / max(1, servers - 1)
        swing = 0.8 * np.cos((hours % 24 - 14) * 2 * np.pi / 24) * (server % 2)
        loads = np.round(np.exp(level + swing + random.normal(0, 0.2, hours.size)), 3)
        kept = (random.random(hours.size) > 0.02) | (server == 0)
        peaks = {peak: pl.Series(loads[kept]) * (1 if peak == "peak_load" else 0.1) for peak in PEAKS}
        when = pl.lit(start) + pl.duration(hours=pl.Series(hours[kept]))
        parts.append(pl.select(pl.lit(f"10.0.0.{server + 1}").alias("server_ip"), when.alias("hour"), **peaks))
    return pl.concat(parts)


def hourly_table(spark: SparkSession, hours: pl.DataFrame) -> DataFrame:
    """Simulated hours as the table `hourly_load`."""
    rest = {"sessions": sf.lit(1).cast("bigint"), "peak_window_start": sf.col("hour")}
    frame = spark.createDataFrame(hours.to_arrow(compat_level=pl.CompatLevel.oldest())).withColumns(rest)
    return frame.withColumn("month", sf.date_format("hour", "yyyy-MM")).select(*TABLES["hourly_load"].column_names)


def features_of(hourly: DataFrame, horizons: Sequence[int]) -> DataFrame:
    """All labelled features of `hourly_load`."""
    first, last = hourly.agg(sf.min("hour"), sf.max("hour")).collect()[0]
    first, last = (hour_number(hour.astimezone(UTC)) for hour in (first, last))
    servers = hourly.groupBy("server_ip").agg(sf.min("hour").alias("first_hour"))
    return feature_frame(
        hourly,
        servers,
        fleet_hours(hourly),
        closed_until=last,
        first_target=first,
        last_target=last,
        horizons=horizons,
        retire_after_hours=168,
        **LIMITS,
    )


def trees_of(model: PipelineModel) -> str:
    """The splits and leaves of a fitted pipeline's forest, without its name, which is another one each time."""
    return str(model.stages[-1].toDebugString).partition("\n")[2]
