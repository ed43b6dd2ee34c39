"""Where a backtest cuts the history: starts of UTC days, rolling back from its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.errors import InputError
from serverload.contracts.instants import EPOCH, from_micros

LEAST_TRAINING_DAYS = 28
"""Days of history before the first cut-off: what looks back four weeks has something to look at."""


@dataclass(frozen=True)
class HistoryDays:
    """Labelled rows by UTC day of their target (whole days since 1970), and what time they span, up to a whole day."""

    rows: Mapping[int, int]
    first_target: datetime
    end: datetime

    @property
    def start(self) -> datetime:
        """Start of the first day."""
        return self.first_target.replace(hour=0)

    def rows_between(self, first: datetime, end: datetime) -> int:
        """Rows with a target from the start of one day up to that of another."""
        return sum(self.rows.get(day, 0) for day in range((first - EPOCH).days, (end - EPOCH).days))


def history_days(rows: DataFrame) -> HistoryDays | None:
    """Count labelled rows of `features` by day, in one job; None without any. Days, not rows, reach the driver."""
    day = sf.floor(sf.unix_seconds("target_hour") / 86400).alias("day")
    bounds = (sf.unix_micros(sf.min("target_hour")), sf.unix_micros(sf.max("target_hour")))
    counted = rows.groupBy(day).agg(sf.count("*"), *bounds).collect()
    if not counted:
        return None
    first, last = min(row[2] for row in counted), max(row[3] for row in counted)
    end = (from_micros(last) + timedelta(hours=1)).replace(hour=0)
    return HistoryDays({row[0]: row[1] for row in counted}, from_micros(first), end)


def rolling_cutoffs(testable: HistoryDays, start: datetime, *, wanted: int, step_days: int) -> tuple[datetime, ...]:
    """The newest cut-offs that have rows to test on, the oldest first; from each on `step_days` days are tested.

    They lie `step_days` apart, and the last one's days are the newest whole ones; `start` is the first day to train on.
    Fewer than wanted where the history is too short. Raises InputError where it allows none.
    """
    step, found = timedelta(days=step_days), list[datetime]()
    cutoff = testable.end - step
    while cutoff - start >= timedelta(days=LEAST_TRAINING_DAYS) and len(found) < wanted:
        if testable.rows_between(cutoff, cutoff + step):
            found.append(cutoff)
        cutoff -= step
    if not found:
        there = f"{start:%Y-%m-%d} to {testable.end - timedelta(days=1):%Y-%m-%d}"
        what = f"no room for a cut-off with {LEAST_TRAINING_DAYS} days before it and {step_days} to test: {there}"
        raise InputError(what, where="features", hint="backfill more history, or give fewer --step-days")
    return tuple(reversed(found))
