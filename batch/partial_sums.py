"""Partial window sums of closed days added up, a month at a time."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256

from pyspark.sql import functions as F

from batch.file_packing import file_count, in_files, is_gain
from serverload.ingest import computed_once
from serverload.steps.windows import closed_as_one, re_added, window_sums
from serverload.store.delta_tables import DeltaTables
from serverload.store.pinned_table import AddedFile, PinnedTable

_NAME = "load_windows"
_APART = ("server_ip", "window_start", "source", "batch_id", "month")
_PARTIAL = "coalesce(cast(get_json_object(stats, '$.nullCount.batch_id') AS bigint), 0) < {}".format(
    "coalesce(cast(get_json_object(stats, '$.numRecords') AS bigint), 1)"
)
"""A file that has rows of a batch; of those made here, only ones that reach into a day that was open."""
_FIRST_DAY = "coalesce(left(get_json_object(stats, '$.minValues.window_start'), 10), '')"
_LAST_DAY = "coalesce(left(get_json_object(stats, '$.maxValues.window_start'), 10), '~')"


def months_with_partials(tables: DeltaTables) -> list[str]:
    """The months with rows that no re-adding has made, in order."""
    month = F.col("partitionValues")["month"].alias("month")
    return sorted(row["month"] for row in tables.pinned(_NAME).files(_PARTIAL).select(month).distinct().collect())


def re_add_month(tables: DeltaTables, month: str, closed_until: datetime) -> None:
    """Add up the rows before `closed_until` of each server, window and source, in one commit that changes no sum.

    Written anew are the files with partial rows, and those that have a day in common with them. What was found to
    have nothing to add up is marked, and not looked at again until its files are others or a further day has closed.
    """
    pinned = tables.pinned(_NAME)
    of_month = f"partitionValues['month'] = '{month}'"
    partials = f"{of_month} AND {_PARTIAL}"
    mark, until = f"serverload-compact:{month}", min(closed_until, _next(month))
    looked_at = _fingerprint((row["path"] for row in pinned.files(partials).select("path").collect()), until)
    if pinned.mark(mark) == looked_at:
        return
    replaced = f"{of_month} AND ({_PARTIAL} OR {_shares_a_day(pinned, partials)})"
    rows = closed_as_one(pinned.rows(replaced), until)
    files, size = pinned.files(replaced).agg(F.count("path"), F.sum("size")).collect()[0]
    before, after = rows.groupBy(*_APART).count().agg(F.sum("count"), F.count("count")).collect()[0]
    count = file_count(size * after / before)
    if before == after and not is_gain(files, count):
        pinned.commit("false", [], {mark: looked_at})
        return
    with computed_once(window_sums(rows, *_APART[2:])) as sums:
        added = pinned.written(in_files(_NAME, re_added(sums, rows), count))
    pinned.commit(replaced, added, {mark: _fingerprint((file["path"] for file in added if _is_partial(file)), until)})


def _shares_a_day(pinned: PinnedTable, partials: str) -> str:
    """SQL that finds the files whose stretch of time holds a day of the partial rows: at most 31 days."""
    days = pinned.rows(partials).select(F.date_format("window_start", "yyyy-MM-dd")).distinct().collect()
    listed = ", ".join(f"'{row[0]}'" for row in days)
    return f"exists(array({listed}), day -> day BETWEEN {_FIRST_DAY} AND {_LAST_DAY})"


def _is_partial(file: AddedFile) -> bool:
    stats = json.loads(file["stats"])
    return bool(stats["nullCount"]["batch_id"] < stats["numRecords"])


def _fingerprint(paths: Iterable[str], until: datetime) -> int:
    """A number for a set of files and the day until which rows were added up."""
    text = "\n".join([until.isoformat(), *sorted(paths)])
    return int.from_bytes(sha256(text.encode()).digest()[:7])


def _next(month: str) -> datetime:
    return (datetime.fromisoformat(f"{month}-01T00:00+00:00") + timedelta(days=31)).replace(day=1)
