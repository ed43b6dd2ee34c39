"""Are the forecasts what their models give, and their outcomes what came?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from serverload.advance.changes import hour_changes
from serverload.advance.forecasts import (
    HOURLY_NOTE,
    ISSUED_NOTE,
    IssueRules,
    ScoringModel,
    scored_forecasts,
)
from serverload.advance.outcomes import FORECAST_KEY, MATURED_NOTE, matured_rows, newest_outcomes
from serverload.contracts.classes import CLASSES, SAME_PROBABILITY
from serverload.contracts.instants import hour_start
from serverload.contracts.settings import Settings
from serverload.model.forecasting import PROBABILITIES
from serverload.steps.peaks import hour_number_of
from serverload.store.home_snapshot import HomeSnapshot
from serverload.verify.checks import Check, compared, violations

_ISSUED = FORECAST_KEY[:3]
_SCORED = ("workload_class", *PROBABILITIES)
_OUTCOME = ["target_hour", "workload_class", "actual_class", "correct", "probability_of_actual"]
_ROUNDING = 1e-6


def forecast_checks(
    tables: HomeSnapshot, settings: Settings, by_version: Callable[[str], ScoringModel | None], hours: int
) -> Iterator[Check]:
    """Revisions and classes of all forecasts; those of the newest `hours` issued hours are scored again."""
    forecasts = tables.read("forecasts")
    yield _revisions_check("forecasts: each once, revisions without a gap", forecasts, _ISSUED, "revision")
    told = ("basis", "workload_class", *PROBABILITIES, "prediction_set")
    yield violations("forecasts: each row agrees with itself", forecasts, ~_consistent(), FORECAST_KEY, *told)
    yield _scores_check(tables, settings, by_version, hours)


def _consistent() -> Column:
    """Probabilities that add up to 1, and a class within its set, if that is not empty; or nothing, without a basis."""
    probabilities = [F.col(name) for name in PROBABILITIES]
    adds_up = F.abs(sum(probabilities[1:], probabilities[0]) - 1) <= _ROUNDING
    members = F.split("prediction_set", ",")
    within = (F.col("prediction_set") == "") | F.array_contains(members, F.col("workload_class"))
    forecast = adds_up & F.col("workload_class").isin(*CLASSES) & F.coalesce(within, F.lit(True))
    silent = F.coalesce("workload_class", *(each.cast("string") for each in probabilities), "prediction_set").isNull()
    return F.coalesce(F.when(F.col("basis") == "none", silent).otherwise(forecast), F.lit(False))


def outcome_checks(tables: HomeSnapshot, settings: Settings) -> Iterator[Check]:
    """Revisions of all outcomes, and the newest of each forecast against `hourly_load`."""
    outcomes = tables.read("forecast_outcomes")
    name = "forecast_outcomes: each once, revisions without a gap"
    yield _revisions_check(name, outcomes, FORECAST_KEY, "outcome_revision")
    yield _outcomes_check(tables, settings, outcomes)


def _revisions_check(name: str, rows: DataFrame, key: list[str], revision: str) -> Check:
    """Of each key as many rows as revisions, from 0 on."""
    per_key = rows.groupBy(*key).agg(
        F.count("*").alias("rows"), F.count_distinct(revision).alias("revisions"), F.max(revision).alias("newest")
    )
    wrong = (F.col("rows") != F.col("revisions")) | (F.col("newest") != F.col("revisions") - 1)
    return violations(name, per_key, wrong, key, "rows", "revisions", "newest")


@dataclass(frozen=True)
class _IssuedHour:
    """An issued hour with the model version of its rows, and the version of `hourly_load` that they were made from."""

    hour: int
    model_version: str
    horizons: tuple[int, ...]
    hourly_version: int | None


def _scores_check(
    tables: HomeSnapshot, settings: Settings, by_version: Callable[[str], ScoringModel | None], hours: int
) -> Check:
    name, checks, untold = "forecasts: scored again", list[Check](), list[str]()
    for issued in _newest_issued(tables, hours):
        model = by_version(issued.model_version)
        version = issued.hourly_version
        if model is None:
            untold.append(f"{hour_start(issued.hour):%Y-%m-%dT%HZ}: model version {issued.model_version} is not there")
        elif version is None or not tables.holds("hourly_load", version):
            untold.append(f"{hour_start(issued.hour):%Y-%m-%dT%HZ}: the hours it was made from have changed since")
        else:
            checks.append(_scores_of_hour(name, tables, settings, issued, model, version))
    examples = [check.example for check in checks if check.example]
    counts = (sum(check.compared for check in checks), sum(check.differing for check in checks))
    return Check(name, *counts, "".join(examples[:1]), ", ".join(untold))


def _newest_issued(tables: HomeSnapshot, hours: int) -> list[_IssuedHour]:
    """The newest issued hours, oldest first."""
    of_hour = tables.read("forecasts").groupBy(hour_number_of("issued_hour").alias("hour"), "model_version")
    rows = of_hour.agg(F.sort_array(F.collect_set("horizon_hours")).alias("horizons")).orderBy(F.desc("hour"))
    newest = sorted({row["hour"] for row in rows.limit(2 * hours).collect()})[-hours:] if hours else []
    return [
        _IssuedHour(row["hour"], row["model_version"], tuple(row["horizons"]), _made_from(tables, row["hour"]))
        for row in rows.where(F.col("hour").isin(newest)).collect()
    ]


def _made_from(tables: HomeSnapshot, hour: int) -> int | None:
    """The version of `hourly_load` that the newest revisions of an issued hour were made from, or last held against.

    While an hour is the newest, each commit notes it; one that was issued together with later hours has their note.
    None where the log no longer tells. A version whose hours up to this one are still the same is the pinned one.
    """
    noted = None
    for commit in tables.log("forecasts").newest_first(tables.version("forecasts")):
        until = commit.note.get(ISSUED_NOTE)
        if until is None:
            continue
        if until < hour:
            break
        noted = commit.note.get(HOURLY_NOTE)
        if until == hour:
            break
    if noted is None:
        return None
    pinned = tables.version("hourly_load")
    return int(noted) if hour_changes(tables, int(noted), pinned).up_to(hour) else pinned


def _scores_of_hour(
    name: str, tables: HomeSnapshot, settings: Settings, issued: _IssuedHour, model: ScoringModel, version: int
) -> Check:
    rules = replace(IssueRules.of(settings), horizons=issued.horizons)
    hourly = tables.read_version("hourly_load", version)
    # a server's first hour as it was known then
    servers = hourly.groupBy("server_ip").agg(
        F.min("hour").alias("first_hour"), F.lit(None).cast("bigint").alias("server_type")
    )
    expected = scored_forecasts(hourly, servers, model, model.decision, [issued.hour], rules)
    start = F.lit(hour_start(issued.hour))
    of_hour = (F.col("issued_hour") == start) & (F.col("target_date") >= F.to_date(start))
    found = (
        tables.read("forecasts")
        .where(of_hour & (F.col("model_version") == issued.model_version))
        .groupBy(*_ISSUED)
        .agg(*(F.max_by(column, "revision").alias(column) for column in _SCORED))
    )
    return _within(name, expected.select(*_ISSUED, *_SCORED), found)


def _within(name: str, expected: DataFrame, found: DataFrame) -> Check:
    """Hold probabilities against each other as `advance` does before it issues a forecast again."""
    both = expected.join(found.withColumnsRenamed({name: f"found_{name}" for name in _SCORED}), _ISSUED, "full")
    alike = [
        F.col(name).eqNullSafe(F.col(f"found_{name}"))
        | F.coalesce(F.abs(F.col(name) - F.col(f"found_{name}")) <= SAME_PROBABILITY, F.lit(False))
        for name in PROBABILITIES
    ]
    said = F.col("workload_class").eqNullSafe(F.col("found_workload_class"))
    wrong = ~(alike[0] & alike[1] & alike[2] & said)
    told = [f"{which}{name}" for name in _SCORED for which in ("", "found_")]
    return violations(name, both, wrong, _ISSUED, *told)


def _outcomes_check(tables: HomeSnapshot, settings: Settings, outcomes: DataFrame) -> Check:
    name, closed = "forecast_outcomes", tables.newest_note("forecast_outcomes", MATURED_NOTE)
    oldest = tables.read("forecasts").agg(F.min(F.unix_seconds("target_hour"))).collect()[0][0]
    if closed is None or oldest is None:
        return Check(name, unchecked="" if outcomes.isEmpty() else "no commit says until when forecasts have matured")
    noted = tables.newest_note("forecast_outcomes", HOURLY_NOTE)
    changes = hour_changes(tables, noted, tables.version("hourly_load"))
    if changes.everything:
        return Check(name, unchecked="what has changed in hourly_load since they were written is no longer known")
    stale = [hour for hour in changes.hours if hour <= closed]
    same = ~hour_number_of("target_hour").isin(stale) & (hour_number_of("target_hour") <= closed)
    expected = matured_rows(
        tables,
        tables.read("forecasts").where(same),
        oldest // 3600,
        closed,
        retire_after_hours=settings.time.retire_after_hours,
        low_max=settings.classes.low_max,
        medium_max=settings.classes.medium_max,
    )
    found = newest_outcomes(outcomes).where(~hour_number_of("target_hour").isin(stale))
    columns = [*FORECAST_KEY, *_OUTCOME]
    waiting = f"{len(stale)} hours that have changed since the last advance" if stale else ""
    return compared(name, expected.select(*columns), found.select(*columns), FORECAST_KEY, waiting)
