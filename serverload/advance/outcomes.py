"""Hold matured forecasts against what came."""

from datetime import UTC, datetime

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from serverload.advance.changes import Changes
from serverload.contracts.instants import hour_start
from serverload.steps.feature_frames import actual_hours, fleet_hours, workload_class_column
from serverload.store.delta_tables import DeltaTables

MATURED_NOTE = "matured_until"
HOURLY_NOTE = "hourly_load_version"
_FORECAST_KEY = ["server_ip", "issued_hour", "horizon_hours", "revision"]


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
    due = _due_forecasts(tables, closed, changes, matured_until)
    first = _first_target(due, changes, matured_until)
    if first is None:
        return
    since = F.lit(hour_start(first - retire_after_hours))
    hourly = tables.read("hourly_load").where(F.col("hour").between(since, F.lit(hour_start(closed))))
    actual = actual_hours(
        hourly,
        tables.read("servers"),
        fleet_hours(hourly),
        first=first,
        last=closed,
        retire_after_hours=retire_after_hours,
    ).withColumn("actual_class", workload_class_column(F.col("peak_load"), low_max=low_max, medium_max=medium_max))
    outcomes = _new_outcomes(due.join(actual, ["server_ip", "target_hour"]), _known_outcomes(tables, first))
    tables.append("forecast_outcomes", outcomes, note={MATURED_NOTE: closed, HOURLY_NOTE: version})


def _first_target(due: DataFrame, changes: Changes, matured_until: int | None) -> int | None:
    """The first hour to hold forecasts against; None where there are no forecasts for any closed hour."""
    if matured_until is not None and not changes.everything:
        return min([matured_until + 1, *changes.hours])
    first = due.agg(F.min(F.unix_seconds("target_hour"))).collect()[0][0]
    return None if first is None else int(first) // 3600


def _due_forecasts(tables: DeltaTables, closed: int, changes: Changes, matured_until: int | None) -> DataFrame:
    """Forecasts of the hours that closed since, and of closed hours whose load may have changed."""
    end = hour_start(closed)
    due = tables.read("forecasts").where(
        (F.col("target_date") <= F.lit(end.date())) & (F.col("target_hour") <= F.lit(end))
    )
    if matured_until is None or changes.everything:
        return due
    changed = [hour for hour in changes.hours if hour <= matured_until]
    first = min([matured_until + 1, *changed])
    wanted = F.col("target_hour") > F.lit(hour_start(matured_until))
    if changed:
        wanted = wanted | F.col("target_hour").isin([hour_start(hour) for hour in changed])
    return due.where((F.col("target_date") >= F.lit(hour_start(first).date())) & wanted)


def _known_outcomes(tables: DeltaTables, first: int) -> DataFrame:
    newest = Window.partitionBy(*_FORECAST_KEY).orderBy(F.desc("outcome_revision"))
    since = F.col("target_date") >= F.lit(hour_start(first).date())
    known = tables.read("forecast_outcomes").where(since).withColumn("newest", F.row_number().over(newest))
    return known.where("newest = 1").select(
        *_FORECAST_KEY, F.col("actual_class").alias("known_class"), F.col("outcome_revision").alias("known_revision")
    )


def _new_outcomes(matured: DataFrame, known: DataFrame) -> DataFrame:
    new = matured.join(known, _FORECAST_KEY, "left").where(~F.col("actual_class").eqNullSafe(F.col("known_class")))
    probability = F.coalesce(
        *(F.when(F.col("actual_class") == name, F.col(f"probability_{name}")) for name in ("low", "medium", "high"))
    )
    return new.withColumns(
        {
            "actual_peak_load": F.col("peak_load"),
            "correct": F.col("workload_class") == F.col("actual_class"),
            "probability_of_actual": probability,
            "outcome_revision": F.coalesce(F.col("known_revision") + 1, F.lit(0)),
            "matured_at": F.lit(datetime.now(UTC)),
        }
    )
