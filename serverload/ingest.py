"""One ingest batch, from tagged rows to its tables: what history and live share."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from serverload.contracts.instants import from_micros
from serverload.contracts.settings import IngestSettings
from serverload.contracts.tables import TABLES
from serverload.steps.event_kernel import LineCounts, LineRules
from serverload.steps.ingest_rows import COUNT, REJECT
from serverload.steps.peaks import month_of
from serverload.steps.windows import added_windows, stored_windows
from serverload.store.delta_tables import DeltaTables, Transaction

HISTORY, LIVE = "history", "live"


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


def commit_batch(
    tables: DeltaTables,
    windows: DataFrame,
    others: DataFrame,
    batch: IngestBatch,
    before_log: Callable[[], None] = lambda: None,
    lost_offsets: int = 0,
) -> LineCounts:
    """Write a batch's window sums, rejects and, last, its row of `ingest_log`; a repeat adds nothing.

    `windows` and `others` are the tagged rows of kind window, and those of the other kinds; the others are read
    twice: give them `computed_once`. `before_log` runs between the data and the log row (the ledger of files).
    """
    counts = _counts(others)
    if counts.accepted:
        tables.append("load_windows", _load_windows(windows, batch), batch.transaction("load_windows"))
    if counts.rejected:
        tables.append("rejects", _rejects(others, batch), batch.transaction("rejects"))
    before_log()
    log_row = _log_row(tables, batch, counts, lost_offsets)
    tables.append("ingest_log", log_row, batch.transaction("ingest_log"))
    return counts


def _load_windows(windows: DataFrame, batch: IngestBatch) -> DataFrame:
    return (
        stored_windows(added_windows(windows))
        .withColumn("source", F.lit(batch.source))
        .withColumn("batch_id", F.lit(batch.batch_id).cast("bigint"))
        .withColumn("month", month_of("window_start"))
    )


def _rejects(tagged: DataFrame, batch: IngestBatch) -> DataFrame:
    return (
        tagged.where(F.col("kind") == REJECT)
        .withColumn("source", F.lit(batch.source))
        .withColumn("batch_id", F.lit(batch.batch_id).cast("bigint"))
        .withColumn("rejected_at", F.lit(batch.batch_time))
    )


def _counts(tagged: DataFrame) -> LineCounts:
    """Add the tasks' count rows: one small row a task."""
    counts = tagged.where(F.col("kind") == COUNT)
    rows = counts.withColumns({name: F.unix_micros(name) for name in ("first_event", "last_event")}).collect()
    return sum((_line_counts(row) for row in rows), LineCounts())


def _line_counts(row: Row) -> LineCounts:
    return LineCounts(
        read=row["read"],
        accepted=row["accepted"],
        rejected=row["rejected"],
        skipped=row["skipped"],
        rejected_by_reason=Counter(row["rejected_by_reason"]),
        repaired_by_field=Counter(row["repaired_by_field"]),
        first_event=_time(row["first_event"]),
        last_event=_time(row["last_event"]),
    )


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _log_row(tables: DeltaTables, batch: IngestBatch, counts: LineCounts, lost_offsets: int) -> DataFrame:
    row = {
        "source": batch.source,
        "checkpoint_id": batch.checkpoint_id,
        "batch_id": batch.batch_id,
        "batch_time": batch.batch_time,
        "read": counts.read,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "skipped": counts.skipped,
        "lost_offsets": lost_offsets,
        "rejected_by_reason": dict(counts.rejected_by_reason),
        "repaired_by_field": dict(counts.repaired_by_field),
        "first_event": counts.first_event,
        "last_event": counts.last_event,
        "committed_at": datetime.now(UTC),
    }
    table = TABLES["ingest_log"]
    return tables.spark.createDataFrame([tuple(row[name] for name in table.column_names)], table.ddl)
