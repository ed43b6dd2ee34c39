"""One ingest batch, from packed rows to its tables: what history and live share."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.contracts.settings import IngestSettings
from serverload.steps.event_kernel import LineCounts, LineRules
from serverload.steps.ingest_rows import (
    COUNT,
    MESSAGE,
    REJECT,
    SERVER,
    WINDOW,
    added_parts,
    unpacked_counts,
    unpacked_messages,
    unpacked_rejects,
    unpacked_servers,
)
from serverload.steps.windows import stored_windows
from serverload.store.delta_kernel import Transaction
from serverload.store.delta_tables import DeltaTables

HISTORY, LIVE = "history", "live"
LEAST_PARTS = 32
"""A batch's windows are added up in at least so many parts: enough for Spark to spread them evenly."""
_REJECTS_A_FILE = 1_000_000


@dataclass(frozen=True)
class ReadOffsets:
    """Where in its topic a live batch comes from: `topic/partition` to its first offset, and to the one after its last.

    `lost` of these had been deleted by retention before they were read.
    """

    first: Mapping[str, int]
    until: Mapping[str, int]
    lost: int = 0

    @property
    def messages(self) -> int:
        """How many there are between them, those that were lost included."""
        return sum(self.until.values()) - sum(self.first.values())


@dataclass(frozen=True)
class IngestBatch:
    """Names one batch for ever: a retry has the same id and the same time."""

    source: str
    checkpoint_id: str
    batch_id: int
    batch_time: datetime

    def transaction(self, table: str) -> Transaction:
        """The Delta transaction under which this batch writes a table."""
        return Transaction(f"serverload-{self.source}:{table}:{self.checkpoint_id}", self.batch_id)


def line_rules(settings: IngestSettings, source: str, batch_time: datetime) -> LineRules:
    """The kernel's rules for a batch of a source."""
    return LineRules(
        source=source,
        batch_time=batch_time,
        max_ahead_minutes=settings.max_ahead_minutes,
        earliest=settings.earliest,
        latest=settings.latest,
        only_servers=settings.only_servers,
        cutover=settings.cutover,
        server_pattern=settings.server_pattern,
    )


@contextmanager
def computed_once(rows: DataFrame) -> Iterator[DataFrame]:
    """Keep rows, on disk where memory is short, until the block ends."""
    rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield rows
    finally:
        rows.unpersist()


@dataclass(frozen=True)
class BatchFacts:
    """What a batch's packed rows tell of it: its lines, messages of each `topic/partition`, newest event by server."""

    counts: LineCounts
    messages: Counter[str]
    last_events: Mapping[str, datetime]


def batch_facts(rows: DataFrame) -> BatchFacts:
    """Ask packed rows for what they tell of themselves; a number a partition and a time a server reach the driver."""
    kinds = (COUNT, MESSAGE, SERVER)
    told = rows.where(F.col("kind").isin(*kinds)).select("kind", "packed").collect()
    of_kind = {kind: [pa.py_buffer(row["packed"]) for row in told if row["kind"] == kind] for kind in kinds}
    counts, messages = unpacked_counts(of_kind[COUNT]), unpacked_messages(of_kind[MESSAGE])
    return BatchFacts(counts, messages, unpacked_servers(of_kind[SERVER]))


def commit_batch(
    tables: DeltaTables,
    rows: DataFrame,
    counts: LineCounts,
    batch: IngestBatch,
    before_log: Callable[[], None] = lambda: None,
    offsets: ReadOffsets | None = None,
) -> None:
    """Write a batch's window sums, rejects and, last, its row of `ingest_log`; a repeat adds nothing.

    `rows` are packed rows, `counts` what they tell; they are read three times in all: give them `computed_once`.
    `before_log` runs between the data and the log row (the ledger of files).
    """
    of_kind = {kind: rows.where(F.col("kind") == kind).select("part", "packed") for kind in (WINDOW, REJECT)}
    if counts.accepted:
        parts = of_kind[WINDOW].repartition("part").sortWithinPartitions("part")
        windows = partial(_load_windows, batch.source, batch.batch_id)
        tables.append_arrow("load_windows", parts, windows, batch.transaction("load_windows"))
    if counts.rejected:
        packed = of_kind[REJECT].repartition(1 + counts.rejected // _REJECTS_A_FILE)
        tables.append_arrow("rejects", packed, partial(_rejects, batch), batch.transaction("rejects"))
    before_log()
    tables.append_rows("ingest_log", [_log_row(batch, counts, offsets)], batch.transaction("ingest_log"))


def _load_windows(source: str, batch_id: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    return (load_window_rows(sums, source, batch_id) for sums in added_parts(batches))


def load_window_rows(sums: pa.Table, source: str, batch_id: int) -> pa.Table:
    """Rows of `load_windows` for the window sums of one batch."""
    rows = stored_windows(sums)
    months, month = np.unique(rows["window_start"].to_numpy().astype("datetime64[M]"), return_inverse=True)
    rows = rows.append_column("source", pa.repeat(source, rows.num_rows))
    rows = rows.append_column("batch_id", pa.repeat(batch_id, rows.num_rows))
    return rows.append_column("month", pa.array(months.astype(str)).take(pa.array(month)))


def _rejects(batch: IngestBatch, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    for rejects in unpacked_rejects(batches):
        told = {"source": batch.source, "batch_id": batch.batch_id, "rejected_at": batch.batch_time}
        columns = {name: pa.repeat(pa.scalar(entry), rejects.num_rows) for name, entry in told.items()}
        yield pa.table({**dict(zip(rejects.column_names, rejects.columns, strict=True)), **columns})


def _log_row(batch: IngestBatch, counts: LineCounts, offsets: ReadOffsets | None) -> dict[str, Any]:
    return {
        "source": batch.source,
        "checkpoint_id": batch.checkpoint_id,
        "batch_id": batch.batch_id,
        "batch_time": batch.batch_time,
        "read": counts.read,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "skipped": counts.skipped,
        "lost_offsets": offsets.lost if offsets else 0,
        "rejected_by_reason": dict(counts.rejected_by_reason),
        "repaired_by_field": dict(counts.repaired_by_field),
        "first_event": counts.first_event,
        "last_event": counts.last_event,
        "committed_at": datetime.now(UTC),
        "from_offsets": dict(offsets.first) if offsets else None,
        "until_offsets": dict(offsets.until) if offsets else None,
    }
