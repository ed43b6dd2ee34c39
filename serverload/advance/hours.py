"""Bring `hourly_load` and `servers` up to date with `load_windows`, writing only what differs."""

from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.advance.changes import CHANGED_HOURS_NOTE, distinct_hours
from serverload.contracts.instants import hour_start
from serverload.contracts.tables import TABLES
from serverload.steps.peaks import hour_of, hourly_peaks
from serverload.steps.servers import known_servers
from serverload.steps.windows import any_differs, window_sums
from serverload.store.delta_log import Commit
from serverload.store.delta_tables import NO_VERSION, DeltaTables

NOTE = "load_windows_version"
_BY_MONTH_BYTES = 32 * 1024 * 1024


def refresh_hours(tables: DeltaTables) -> pa.Table | None:
    """Recompute the hours touched since the version noted last; gives the rows of `servers`, if it had to look at them.

    Few new bytes change single hours; many, or files or a log that are there no more, replace whole months. Rows that
    another writer took away take hours and servers with them.
    The version is read before the rows: what arrives in between is computed now and looked at again next time.
    """
    version = tables.version("load_windows")
    noted = tables.newest_note("hourly_load", NOTE)
    if version < 0 or noted == version:
        return None
    commits = _commits_since(tables, noted, version)
    files = [file for commit in commits or [] for file in commit.files]
    removed = [file for commit in commits or [] for file in commit.removed]
    if commits is not None and not files and not removed:
        return None
    note = {NOTE: version}
    many = sum(file.size for file in files) > _BY_MONTH_BYTES
    if commits is None or removed:
        return _replace_all(tables, note)
    if many or not tables.log("load_windows").still_there(files):
        return _replace_months(tables, sorted({file.partition["month"] for file in files}), note)
    return _merge_hours(tables, tables.read_files("load_windows", [file.path for file in files]), note)


def _commits_since(tables: DeltaTables, noted: int | None, version: int) -> list[Commit] | None:
    """The commits after the noted one; None where there is no note or the log no longer holds them all."""
    if noted is None or noted > version:
        return None
    commits = [tables.log("load_windows").commit(number) for number in range(noted + 1, version + 1)]
    return None if any(commit is None for commit in commits) else [commit for commit in commits if commit]


def _replace_all(tables: DeltaTables, note: dict[str, Any]) -> pa.Table:
    windows = tables.read("load_windows")
    servers = _refreshed_servers(tables, windows, tables.read_version("servers", NO_VERSION))
    tables.replace("hourly_load", hourly_peaks(window_sums(windows)), None, note)
    return servers


def _replace_months(tables: DeltaTables, months: list[str], note: dict[str, Any]) -> pa.Table:
    windows = tables.read("load_windows").where(F.col("month").isin(months))
    servers = _refreshed_servers(tables, windows, tables.read("servers"))
    listed = ", ".join(f"'{month}'" for month in months)
    tables.replace("hourly_load", hourly_peaks(window_sums(windows)), f"month IN ({listed})", note)
    return servers


def _merge_hours(tables: DeltaTables, new_rows: DataFrame, note: dict[str, Any]) -> pa.Table:
    servers = _refreshed_servers(tables, new_rows, tables.read("servers"))
    touched = new_rows.select("server_ip", hour_of("window_start").alias("hour")).distinct()
    hours = distinct_hours(touched)
    differing = _differing_hours(tables, touched, hours[0], hours[-1])
    tables.merge("hourly_load", differing, _between(hours[0], hours[-1]), {**note, CHANGED_HOURS_NOTE: hours})
    return servers


def _between(first: int, last: int) -> str:
    """SQL that bounds the months and hours that a merge looks at."""
    start, end = hour_start(first), hour_start(last)
    return (
        f"old.month BETWEEN '{start:%Y-%m}' AND '{end:%Y-%m}' AND "
        f"old.hour BETWEEN TIMESTAMP '{start:%Y-%m-%d %H:%M:%S}' AND TIMESTAMP '{end:%Y-%m-%d %H:%M:%S}'"
    )


def _differing_hours(tables: DeltaTables, touched: DataFrame, first: int, last: int) -> DataFrame:
    """The touched hours as their windows say now, where that is not what `hourly_load` says."""
    start, end = F.lit(hour_start(first)), F.lit(hour_start(last + 1))
    months = F.col("month").between(f"{hour_start(first):%Y-%m}", f"{hour_start(last):%Y-%m}")
    windows = tables.read("load_windows").where(
        months & (F.col("window_start") >= start) & (F.col("window_start") < end)
    )
    of_touched = windows.withColumn("hour", hour_of("window_start")).join(
        F.broadcast(touched), ["server_ip", "hour"], "left_semi"
    )
    fresh = hourly_peaks(window_sums(of_touched)).alias("fresh")
    there = tables.read("hourly_load").where(months & (F.col("hour") >= start) & (F.col("hour") < end)).alias("there")
    names = [name for name in TABLES["hourly_load"].column_names if name not in ("server_ip", "hour", "month")]
    same_key = (F.col("fresh.server_ip") == F.col("there.server_ip")) & (F.col("fresh.hour") == F.col("there.hour"))
    differs = any_differs([F.col(f"fresh.{name}") for name in names], [F.col(f"there.{name}") for name in names])
    return fresh.join(there, same_key, "left").where(differs).select("fresh.*")


def _refreshed_servers(tables: DeltaTables, windows: DataFrame, known: DataFrame) -> pa.Table:
    """Fold windows into the known servers, a row a server; folding the same windows again changes nothing."""
    there = tables.read("servers")
    fresh = known_servers(windows, known).select(*there.columns).toArrow().sort_by("server_ip")
    if not fresh.equals(there.toArrow().sort_by("server_ip")):
        tables.replace("servers", tables.spark.createDataFrame(fresh).coalesce(1), None)
    return fresh
