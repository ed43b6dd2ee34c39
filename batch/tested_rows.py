"""Rows that models are tested on, with what their scores are told apart by, and what is known of the truth."""

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from serverload.contracts.errors import InputError
from serverload.model.evaluation import change_hour
from serverload.model.forecasting import PROBABILITIES, most_probable_class

CEILING = "ceiling"
"""The model that says the true probabilities: none that does not know them can be better for long."""

MOST_GROUPS = 20
_OTHER, _UNKNOWN = "other", "unknown"
_TRUE = tuple(f"true_{name}" for name in PROBABILITIES)
_HOUR = ("server_ip", "target_hour")


def tested_rows(
    rows: DataFrame, hourly: DataFrame, groups: DataFrame, *, low_max: float, medium_max: float
) -> DataFrame:
    """Rows of `features` with `idle` (no sessions in the target hour), `change` and `server_group`.

    `hourly` as `hourly_load`, `groups` as `named_groups` gives them; a server of no group is of group unknown.
    """
    known = with_idle(rows, hourly).join(sf.broadcast(groups), "server_ip", "left")
    told = {
        "change": change_hour(low_max=low_max, medium_max=medium_max),
        "server_group": sf.coalesce("server_group", sf.lit(_UNKNOWN)),
    }
    return known.withColumns(told)


def with_idle(rows: DataFrame, hourly: DataFrame) -> DataFrame:
    """The rows with `idle`: whether the server had no sessions in the target hour."""
    hours = hourly.select("server_ip", sf.col("hour").alias("target_hour"), sf.lit(True).alias("observed"))
    known = rows.join(hours, list(_HOUR), "left")
    return known.withColumn("idle", sf.col("observed").isNull()).drop("observed")


def named_groups(groups: DataFrame) -> DataFrame:
    """Servers with the names of their groups, of which there are a few: the largest, `unknown`, and `other`."""
    named = groups.withColumn("server_group", sf.coalesce(sf.nullif("server_group", sf.lit("")), sf.lit(_UNKNOWN)))
    sizes = named.groupBy("server_group").count().orderBy(sf.desc("count"), "server_group").limit(MOST_GROUPS).collect()
    is_large = sf.col("server_group").isin([name for name, _size in sizes])
    return named.withColumn("server_group", sf.when(is_large, sf.col("server_group")).otherwise(_OTHER))


def truth_rows(spark: SparkSession, path: str) -> DataFrame:
    """The true probabilities per server and hour that `generate` has left in a Parquet file; of hours that have some.

    Raises InputError where it is no such file.
    """
    hint = "give the truth.parquet that `serverload generate` has written"
    try:
        found = spark.read.parquet(path)
    except (PySparkException, Py4JError) as error:
        raise InputError("cannot be read as Parquet", where=path, hint=hint) from error
    missing = [name for name in ("server_ip", "hour", *PROBABILITIES) if name not in found.columns]
    if missing:
        raise InputError(f"has no column {', '.join(missing)}", where=path, hint=hint)
    true = [sf.col(name).alias(known) for name, known in zip(PROBABILITIES, _TRUE, strict=True)]
    return found.where(sf.col(PROBABILITIES[0]).isNotNull()).select(
        "server_ip", sf.col("hour").alias("target_hour"), *true
    )


def with_truth(rows: DataFrame, truth: DataFrame) -> DataFrame:
    """Those of the rows whose truth is known, with it."""
    return rows.join(truth, list(_HOUR))


def ceiling_forecasts(rows: DataFrame) -> DataFrame:
    """What one would say who knew the truth, for rows as `with_truth` gives them; the most probable class."""
    said = {name: sf.col(known) for name, known in zip(PROBABILITIES, _TRUE, strict=True)}
    return rows.withColumns(
        {"model": sf.lit(CEILING), "workload_class": most_probable_class(*said.values()), **said}
    ).drop(*_TRUE)
