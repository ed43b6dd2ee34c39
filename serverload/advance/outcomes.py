"""Hold matured forecasts against what came."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from serverload.advance.changes import Changes
from serverload.advance.forecasts import HOURLY_NOTE
from serverload.contracts.instants import hour_number, hour_start
from serverload.model.evaluation import ranked_probability_score
from serverload.steps.feature_frames import actual_hours, fleet_hours, workload_class_column
from serverload.store.delta_tables import DeltaTables

MATURED_NOTE = "matured_until"
FORECAST_KEY = ["server_ip", "issued_hour", "horizon_hours", "revision"]


def mature_forecasts(
    tables: DeltaTables,
    closed: int,
    changes: Changes,
    *,
    matured_until: int | None,
    version: int,
    retire_after_hours: int,
    low_max: float,
    medium_max: float,
) -> None:
    """Append an outcome for each forecast whose hour has closed, and a further one where its class has changed."""
    spans = _target_spans(tables, closed, changes, matured_until)
    if not spans:
        return
    first = spans[0][0]
    matured = matured_rows(
        tables,
        _due_forecasts(tables, spans),
        first,
        closed,
        retire_after_hours=retire_after_hours,
        low_max=low_max,
        medium_max=medium_max,
    )
    outcomes = _new_outcomes(matured, _known_outcomes(tables, first))
    tables.append("forecast_outcomes", outcomes, note={MATURED_NOTE: closed, HOURLY_NOTE: version})


def matured_rows(
    tables: DeltaTables,
    forecasts: DataFrame,
    first: int,
    last: int,
    *,
    retire_after_hours: int,
    low_max: float,
    medium_max: float,
) -> DataFrame:
    """Those of the forecasts whose target is one of the hours `first .. last` and counts, beside what came."""
    since = F.lit(hour_start(first - retire_after_hours))
    hourly = tables.read("hourly_load").where(F.col("hour").between(since, F.lit(hour_start(last))))
    actual = actual_hours(
        hourly,
        tables.read("servers"),
        fleet_hours(hourly),
        first=first,
        last=last,
        retire_after_hours=retire_after_hours,
    ).withColumn("actual_class", workload_class_column(F.col("peak_load"), low_max=low_max, medium_max=medium_max))
    probability = F.coalesce(
        *(F.when(F.col("actual_class") == name, F.col(f"probability_{name}")) for name in ("low", "medium", "high"))
    )
    return forecasts.join(actual, ["server_ip", "target_hour"]).withColumns(
        {
            "actual_peak_load": F.col("peak_load"),
            "correct": F.col("workload_class") == F.col("actual_class"),
            "probability_of_actual": probability,
            "rps": F.when(probability.isNotNull(), ranked_probability_score("actual_class")),
            "covered": F.array_contains(F.split("prediction_set", ","), F.col("actual_class")),
        }
    )


def newest_outcomes(outcomes: DataFrame) -> DataFrame:
    """Of each forecast's outcomes the newest."""
    newest = Window.partitionBy(*FORECAST_KEY).orderBy(F.desc("outcome_revision"))
    return outcomes.withColumn("newest", F.row_number().over(newest)).where("newest = 1").drop("newest")


def _target_spans(
    tables: DeltaTables, closed: int, changes: Changes, matured_until: int | None
) -> list[tuple[int, int]]:
    """The target hours to hold forecasts against, as ascending ranges: closed since, or closed before and changed."""
    newly = [] if matured_until is None else [(matured_until + 1, closed)] * (closed > matured_until)
    if matured_until is not None and not changes.up_to(matured_until):
        return newly
    oldest = tables.read("forecasts").agg(F.min("target_date")).collect()[0][0]
    if oldest is None:
        return []
    start = hour_number(datetime.combine(oldest, time(), UTC))
    if matured_until is None or changes.everything:
        return [(start, closed)] * (closed >= start)
    return _ranges(hour for hour in changes.hours if start <= hour <= matured_until) + newly


def _ranges(hours: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending hours as ranges of hours that follow one another."""
    ranges: list[tuple[int, int]] = []
    for hour in hours:
        if ranges and ranges[-1][1] == hour - 1:
            ranges[-1] = (ranges[-1][0], hour)
        else:
            ranges.append((hour, hour))
    return ranges


def _due_forecasts(tables: DeltaTables, spans: Sequence[tuple[int, int]]) -> DataFrame:
    """The forecasts for target hours in the ranges."""
    first, last = hour_start(spans[0][0]), hour_start(spans[-1][1])
    inside = (F.col("target_hour").between(F.lit(hour_start(start)), F.lit(hour_start(end))) for start, end in spans)
    of_days = F.col("target_date").between(F.lit(first.date()), F.lit(last.date()))
    return tables.read("forecasts").where(of_days & reduce(Column.__or__, inside))


def _known_outcomes(tables: DeltaTables, first: int) -> DataFrame:
    since = F.col("target_date") >= F.lit(hour_start(first).date())
    return newest_outcomes(tables.read("forecast_outcomes").where(since)).select(
        *FORECAST_KEY, F.col("actual_class").alias("known_class"), F.col("outcome_revision").alias("known_revision")
    )


def _new_outcomes(matured: DataFrame, known: DataFrame) -> DataFrame:
    new = matured.join(known, FORECAST_KEY, "left").where(~F.col("actual_class").eqNullSafe(F.col("known_class")))
    return new.withColumns(
        {
            "outcome_revision": F.coalesce(F.col("known_revision") + 1, F.lit(0)),
            "matured_at": F.lit(datetime.now(UTC)),
        }
    )
