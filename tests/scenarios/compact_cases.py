"""Drawn batches of a stream, what their windows must add up to, and tables whose power goes or whose stream goes on."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from batch.compact import TableUpkeep, compact
from serverload.contracts.instants import HOUR
from serverload.contracts.lines import MEASURES
from serverload.contracts.progress import Silent
from serverload.store.delta_kernel import Transaction
from serverload.store.delta_tables import DeltaTables
from serverload.store.pinned_table import AddedFile, PinnedTable
from serverload.store.table_reader import run_sql

START = datetime(2016, 2, 28, tzinfo=UTC)
DAY = 24 * HOUR
TIME = pa.timestamp("us", "UTC")
APPLICATION = "serverload-live:load_windows:drawn"


@dataclass(frozen=True)
class Sum:
    """A partial sum: server, minutes after START, load."""

    server_ip: str
    minute: int
    load: float

    @property
    def start(self) -> datetime:
        return START + timedelta(minutes=self.minute - self.minute % 5)


def window_rows(sums: list[Sum], batch_id: int, source: str) -> pa.Table:
    """Rows of `load_windows`."""
    starts = pa.array([each.start for each in sums], TIME)
    return pa.table(
        {
            "server_ip": [each.server_ip for each in sums],
            "window_start": starts,
            "sessions": pa.array([1] * len(sums), pa.int64()),
            **{name: [one.load for one in sums] for name in MEASURES},
            "last_event": pa.array([START + timedelta(minutes=each.minute) for each in sums], TIME),
            "server_type": pa.array([each.minute % 7 for each in sums], pa.int32()),
            "server_type_at": pa.array([START + timedelta(minutes=each.minute) for each in sums], TIME),
            "source": [source] * len(sums),
            "batch_id": pa.array([batch_id] * len(sums), pa.int64()),
            "month": [f"{each.start:%Y-%m}" for each in sums],
        }
    )


def append(tables: DeltaTables, batch_id: int, sums: list[Sum], source: str = "live") -> None:
    """Append a batch as the stream does: by a task that writes the file, and Delta Kernel; once for each id."""
    rows = window_rows(sums, batch_id, source)

    def made(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:  # travels to the worker by value
        return (rows for batch in batches if batch.num_rows)

    tables.append_arrow("load_windows", tables.spark.range(0, 1, 1, 1), made, Transaction(APPLICATION, batch_id))


def micros_of(batches: Iterable[list[Sum]]) -> Counter[tuple[str, datetime]]:
    """What each window's load must be, in micros."""
    total: Counter[tuple[str, datetime]] = Counter()
    for each in (each for sums in batches for each in sums):
        total[each.server_ip, each.start] += round(each.load * 1e6)
    return total


def stored_micros(tables: DeltaTables) -> Counter[tuple[str, datetime]]:
    """The same, as `load_window_sums` has it."""
    query = "select server_ip, window_start, total_load from load_window_sums"
    rows = run_sql(tables.home, query).to_pylist()
    return Counter({(row["server_ip"], row["window_start"]): round(row["total_load"] * 1e6) for row in rows})


def compacted(tables: DeltaTables, closed_days: int) -> list[TableUpkeep]:
    return compact(tables, closed_until=START + closed_days * DAY, retain_hours=168, progress=Silent())


def versions(tables: DeltaTables, *names: str) -> list[int]:
    return [tables.version(name) for name in names]


def aged(home: str, days: float) -> None:
    """Let all files be older."""
    for file in Path(home, "tables").rglob("*"):
        if file.is_file():
            then = file.stat().st_mtime - days * 86400
            os.utime(file, (then, then))


class PowerCut(BaseException):
    """Ends a run where nothing may catch it."""


class CutTables(DeltaTables):
    """Real tables on a machine whose power goes after so many steps of upkeep."""

    steps = 0

    def pinned(self, name: str) -> PinnedTable:
        return _Watched(self, name, self._step)

    def vacuum(self, name: str, retain_hours: int) -> None:
        super().vacuum(name, retain_hours)
        self._step()

    def _step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise PowerCut


class BusyTables(DeltaTables):
    """Real tables to which another job does something whenever upkeep has written files and not yet committed them."""

    def __init__(self, *given: object, meanwhile: Callable[[], None]) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._meanwhile = meanwhile

    def pinned(self, name: str) -> PinnedTable:
        return _Watched(self, name, self._meanwhile)


class _Watched(PinnedTable):
    def __init__(self, tables: DeltaTables, name: str, after_step: Callable[[], None]) -> None:
        super().__init__(tables.spark, tables.home, name)
        self._after_step = after_step

    def written(self, rows: DataFrame) -> list[AddedFile]:
        added = super().written(rows)
        self._after_step()
        return added

    def commit(self, *given: object, **named: object) -> None:
        super().commit(*given, **named)  # type: ignore[arg-type]
        self._after_step()
