"""Upkeep: partial window sums added up, small files put together, files that nothing needs deleted.

Each step is one Delta commit that changes no data, so a crash anywhere leaves every sum as it was.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pyspark.sql import functions as F

from batch.file_packing import pack_files
from batch.partial_sums import months_with_partials, re_add_month
from serverload.contracts.progress import Progress
from serverload.contracts.tables import TABLES
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home
from serverload.store.pinned_table import until_committed


@dataclass(frozen=True)
class TableSize:
    """Files, bytes and rows of a table's newest version; `disk_bytes` has its older versions and its log too."""

    files: int
    bytes: int
    rows: int
    disk_bytes: int


@dataclass(frozen=True)
class TableUpkeep:
    """A table before and after."""

    table: str
    before: TableSize
    after: TableSize


def compact(tables: DeltaTables, *, closed_until: datetime, retain_hours: int, progress: Progress) -> list[TableUpkeep]:
    """Bring the tables of a home into few files, beside whatever else works on it.

    Rows of `load_windows` before `closed_until` (a start of a day) become one a server, window and source; all other
    rows stay as they are. Files that no version of the last `retain_hours` needs are deleted. Raises StoreError, one
    line, where another `compact` runs or another job holds a table all the while.
    """
    with held_for_home(tables.home, "compact", wait_seconds=1.0):
        made = [name for name in TABLES if tables.version(name) >= 0]
        return [_kept_up(tables, name, closed_until, retain_hours, progress) for name in made]


def table_size(tables: DeltaTables, name: str) -> TableSize:
    """How large a table is now."""
    rows = F.get_json_object("stats", "$.numRecords").cast("bigint")
    total = tables.pinned(name).files().agg(F.count("path"), F.sum("size"), F.sum(rows)).collect()[0]
    files, size, known_rows = (number or 0 for number in total)
    return TableSize(files, size, known_rows, tables.log(name).bytes_on_disk())


def _kept_up(
    tables: DeltaTables, name: str, closed_until: datetime, retain_hours: int, progress: Progress
) -> TableUpkeep:
    before = table_size(tables, name)
    progress.step(f"{name}: put {before.files} files together")
    if name == "load_windows":
        _re_add(tables, closed_until, progress)
    else:
        pack_files(tables, name)
    progress.step(f"{name}: delete old files")
    tables.pinned(name).trim_log()
    tables.vacuum(name, retain_hours)
    return TableUpkeep(name, before, table_size(tables, name))


def _re_add(tables: DeltaTables, closed_until: datetime, progress: Progress) -> None:
    for month in months_with_partials(tables):
        progress.step(f"load_windows: add up {month}")
        until_committed("load_windows", partial(re_add_month, tables, month, closed_until))
