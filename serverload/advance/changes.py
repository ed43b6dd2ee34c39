"""Which hours of `hourly_load` may have changed between two of its versions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

from pyspark.sql import DataFrame

from serverload.contracts.instants import hour_number
from serverload.steps.peaks import hour_number_of
from serverload.store.delta_log import Commit
from serverload.store.delta_tables import DeltaTables

CHANGED_HOURS_NOTE = "changed_hours"


@dataclass(frozen=True)
class Changes:
    """Hours (numbers, ascending), a few too many after a backfill; `everything` where the log is gone."""

    hours: tuple[int, ...] = ()
    everything: bool = False

    def up_to(self, hour: int) -> bool:
        """Tell whether an hour up to this one may have changed."""
        return self.everything or bool(self.hours and self.hours[0] <= hour)


def hour_changes(tables: DeltaTables, since: int | None, version: int) -> Changes:
    """The hours that commits after `since`, up to `version`, have changed: as noted, or all of the files replaced.

    Where such a file has been vacuumed since, all of its month.
    """
    if since is None or since > version:
        return Changes(everything=True)
    commits = [tables.log("hourly_load").commit(number) for number in range(since + 1, version + 1)]
    if any(commit is None for commit in commits):
        return Changes(everything=True)
    hours: set[int] = set()
    for commit in commits:
        if commit and (commit.files or commit.removed):
            hours.update(commit.note.get(CHANGED_HOURS_NOTE) or _hours_replaced(tables, commit))
    return Changes(tuple(sorted(hours)))


def _hours_replaced(tables: DeltaTables, commit: Commit) -> Iterable[int]:
    files = (*commit.files, *commit.removed)
    if not tables.log("hourly_load").still_there(files):
        return chain.from_iterable(_hours_of(month) for month in {file.partition["month"] for file in files})
    return distinct_hours(tables.read_files("hourly_load", [file.path for file in files]))


def _hours_of(month: str) -> range:
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return range(hour_number(start), hour_number((start + timedelta(days=31)).replace(day=1)))


def distinct_hours(hourly: DataFrame) -> list[int]:
    """The hours of rows of `hourly_load`, ascending. One number an hour: bounded by the time that the rows span."""
    rows = hourly.select(hour_number_of("hour").alias("hour")).distinct().collect()
    return sorted(row["hour"] for row in rows)
