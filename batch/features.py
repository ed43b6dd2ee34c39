"""Keep table `features` complete: rebuild the months whose hours have changed since it was last built."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.advance import fleet_watermark
from serverload.advance.changes import hour_changes
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.contracts.tables import TABLES
from serverload.steps.feature_frames import feature_frame, fleet_hours
from serverload.steps.features import lookback_hours
from serverload.steps.watermark import newest_closed_hour
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home

HOURLY_NOTE = "hourly_load_version"
CLOSED_NOTE = "closed_until"
RULES_NOTE = "built_by"


def update_features(tables: DeltaTables, settings: Settings, progress: Progress) -> bool:
    """Rebuild what changed; tell whether anything had. A changed hour reaches as far ahead as the longest lookback."""
    with held_for_home(tables.home, "features"):
        closed = newest_closed_hour(fleet_watermark(tables, settings.time.allowed_lateness_minutes))
        if closed is None:
            return False
        version = tables.version("hourly_load")
        first = first_stale_hour(tables, settings, version, closed)
        if first is None:
            return False
        progress.step("build features")
        _rebuild(tables, settings, first, closed, version)
        return True


def first_stale_hour(tables: DeltaTables, settings: Settings, version: int, closed: int) -> int | None:
    """The first target hour whose rows may be out of date; None where nothing is."""
    since = tables.newest_note("features", HOURLY_NOTE)
    if since is None or tables.newest_note("features", RULES_NOTE) != _rules(settings):
        return first_known_hour(tables)
    changes = hour_changes(tables, int(since), version)
    if changes.everything:
        return first_known_hour(tables)
    built_until = int(tables.newest_note("features", CLOSED_NOTE))
    stale = [hour for hour in (*changes.hours[:1], built_until + 1) if hour <= closed]
    return min(stale, default=None)


def first_known_hour(tables: DeltaTables) -> int:
    """The first hour of any server."""
    first = tables.read("servers").agg(F.min(F.unix_seconds("first_hour"))).collect()[0][0]
    return int(first) // 3600


def _rebuild(tables: DeltaTables, settings: Settings, first: int, closed: int, version: int) -> None:
    """Replace every month from the first stale hour's on, in one commit."""
    month_start = hour_start(first).replace(day=1, hour=0)
    rows = feature_rows_of(tables, settings, hour_number(month_start), closed)
    year, month = month_start.year, month_start.month
    note = {HOURLY_NOTE: version, CLOSED_NOTE: closed, RULES_NOTE: _rules(settings)}
    condition = f"year > {year} OR (year = {year} AND month >= {month})"
    tables.replace("features", rows.select(*TABLES["features"].column_names), condition, note)


def feature_rows_of(tables: DeltaTables, settings: Settings, first: int, last: int) -> DataFrame:
    """The rows of `features` for the target hours `first .. last`, all of them closed."""
    horizons = settings.model.training_horizons
    since = first - lookback_hours(max(horizons), settings.time.retire_after_hours)
    hourly = tables.read("hourly_load").where(F.col("month") >= f"{hour_start(since):%Y-%m}")
    return feature_frame(
        hourly,
        tables.read("servers"),
        fleet_hours(hourly),
        closed_until=last,
        first_target=first,
        last_target=last,
        horizons=horizons,
        retire_after_hours=settings.time.retire_after_hours,
        low_max=settings.classes.low_max,
        medium_max=settings.classes.medium_max,
    )


def _rules(settings: Settings) -> dict[str, Any]:
    """The settings that rows are made by: under others all of them are out of date."""
    return {
        "training_horizons": list(settings.model.training_horizons),
        **settings.classes.model_dump(),
        "retire_after_hours": settings.time.retire_after_hours,
    }
