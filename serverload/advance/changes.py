"""Which hours of `hourly_load` may have changed between two of its versions."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import functions as F

from serverload.store.delta_tables import DeltaTables


@dataclass(frozen=True)
class Changes:
    """Hours (numbers, ascending) in rewritten files, so a few too many; `everything` where the log is gone."""

    hours: tuple[int, ...] = ()
    everything: bool = False

    def up_to(self, hour: int) -> bool:
        """Tell whether an hour up to this one may have changed."""
        return self.everything or bool(self.hours and self.hours[0] <= hour)


def hour_changes(tables: DeltaTables, since: int | None, version: int) -> Changes:
    """The hours in files that commits after `since`, up to `version`, have written."""
    if since is None or since > version:
        return Changes(everything=True)
    commits = [tables.log("hourly_load").commit(number) for number in range(since + 1, version + 1)]
    if any(commit is None for commit in commits):
        return Changes(everything=True)
    files = [file.path for commit in commits if commit for file in commit.files]
    return Changes(_hours_in(tables, files)) if files else Changes()


def _hours_in(tables: DeltaTables, files: Sequence[str]) -> tuple[int, ...]:
    """One number an hour: bounded by the time that the files span."""
    hours = tables.read_files("hourly_load", list(files))
    rows = hours.select(F.floor(F.unix_seconds("hour") / 3600).alias("hour")).distinct().collect()
    return tuple(sorted(row["hour"] for row in rows))
