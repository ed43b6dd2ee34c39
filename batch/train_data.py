"""What a model is trained on and what it is tested on: whole days cut off the end, nothing of them in training."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import InputError
from serverload.contracts.feature_columns import NULLABLE_FEATURES
from serverload.contracts.instants import from_micros
from serverload.contracts.settings import ModelSettings

ARTICLE_HORIZONS = (48,)
_KEY = ("server_ip", "target_hour", "horizon_hours")
_PARTS_OF_SHARE = 1_000_000
_ROWS_PER_TASK = 100_000
_ROWS_PER_TARGET = 1.0
_LEAST_ROWS = 100
"""Fewer are not sampled at all."""


@dataclass(frozen=True)
class TrainingData:
    """The rows to fit on and the rows to test on.

    Every target of `all_rows` is before `test_start`; the targets of `test` are from it on and before `test_end`.
    `rows` and `servers` count `all_rows`.
    """

    all_rows: DataFrame
    test: DataFrame
    first_target: datetime
    test_start: datetime
    test_end: datetime
    rows: int
    servers: int
    horizons: tuple[int, ...]


def learned_horizons(settings: ModelSettings) -> tuple[int, ...]:
    """The horizons (h) that the chosen feature set is learned for."""
    return ARTICLE_HORIZONS if settings.feature_set == "article" else settings.training_horizons


def labelled_rows(features: DataFrame, horizons: Iterable[int]) -> DataFrame:
    """Rows of `features` at some horizons whose target is known."""
    return features.where(sf.col("horizon_hours").isin(sorted(horizons)) & sf.col("label").isNotNull())


def without_rows(horizons: Iterable[int]) -> InputError:
    """The error for a history without any such row."""
    what = f"no rows for the horizons {', '.join(map(str, horizons))} h"
    return InputError(what, where="features", hint="backfill some history first")


def training_data(features: DataFrame, settings: ModelSettings) -> TrainingData:
    """Cut `features` into training and the newest whole `test_days`.

    Rows after the last whole day are left out. Raises InputError, one line, when too little is left to train on.
    """
    horizons = learned_horizons(settings)
    of_horizons = labelled_rows(features, horizons)
    newest = of_horizons.agg(sf.unix_micros(sf.max("target_hour"))).collect()[0][0]
    if newest is None:
        raise without_rows(horizons)
    test_end = (from_micros(newest) + timedelta(hours=1)).replace(hour=0)
    test_start = test_end - timedelta(days=settings.test_days)
    all_rows = of_horizons.where(sf.col("target_hour") < sf.lit(test_start))
    test = of_horizons.where(sf.col("target_hour").between(sf.lit(test_start), sf.lit(test_end - timedelta(hours=1))))
    seen = _seen(all_rows)
    _refuse_too_little(seen, settings.test_days)
    if test.isEmpty():
        what = f"no hour of the newest {settings.test_days} days, which are the test, has a label"
        raise InputError(what, where="features", hint="backfill what is missing there, or change [model] test_days")
    return TrainingData(
        all_rows=all_rows,
        test=test,
        first_target=from_micros(seen["first_micros"]),
        test_start=test_start,
        test_end=test_end,
        rows=seen["rows"],
        servers=seen["servers"],
        horizons=horizons,
    )


def _seen(rows: DataFrame) -> Row:
    loads = sf.coalesce(*(column.name for column in NULLABLE_FEATURES))
    classes = [sf.count_if(sf.col("label") == name).alias(name) for name in CLASSES]
    return rows.agg(
        sf.count("*").alias("rows"),
        sf.count(loads).alias("known"),
        sf.approx_count_distinct("server_ip", 0.01).alias("servers"),
        sf.unix_micros(sf.min("target_hour")).alias("first_micros"),
        *classes,
    ).collect()[0]


def _refuse_too_little(seen: Row, test_days: int) -> None:
    """A forest needs two classes and some load that is known; fewer is a history too short, not a model."""
    if seen["rows"] and seen["known"] and sum(seen[name] > 0 for name in CLASSES) > 1:
        return
    if not seen["rows"]:
        what = f"no hour is left to train on before the newest {test_days} days, which are the test"
    elif not seen["known"]:
        what = "no load is known before any of the hours to train on"
    else:
        what = f"all {seen['rows']} rows before the test are {next(name for name in CLASSES if seen[name])}"
    raise InputError(what, where="features", hint="give more history, or fewer [model] test_days")


def sampled(rows: DataFrame, settings: ModelSettings) -> DataFrame:
    """The rows for the forest, in an order that their content alone decides: a fit can be repeated.

    A row is in the sample by its own key and the seed, whatever else is there. One row per target on average, and
    `max_training_rows` at most: the horizons of a target share its label and most inputs, and all of them made the
    forest slower and worse.
    """
    count, horizons = rows.agg(sf.count("*"), sf.count_distinct("horizon_hours")).collect()[0]
    wanted = min(max(count * _ROWS_PER_TARGET / max(1, horizons), _LEAST_ROWS), settings.max_training_rows)
    share = round(_PARTS_OF_SHARE * min(1.0, wanted / max(1, count)))
    drawn = sf.pmod(sf.xxhash64(*_KEY, sf.lit(settings.seed)), sf.lit(_PARTS_OF_SHARE)) < share
    tasks = 4 * (1 + int(wanted) // (4 * _ROWS_PER_TASK))
    return rows.where(drawn).repartition(tasks, *_KEY).sortWithinPartitions(*_KEY)
