"""The streaming query: messages to packed rows to tables. Trigger, checkpoint and batches, no arithmetic."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from serverload.contracts.errors import StoreError
from serverload.contracts.instants import from_micros
from serverload.contracts.settings import IngestSettings, StreamSettings
from serverload.ingest import LEAST_PARTS, LIVE, IngestBatch, commit_batch, computed_once, line_rules
from serverload.steps.event_kernel import LineCounts
from serverload.steps.ingest_rows import PACKED_DDL, message_lines, packed_rows
from serverload.store.delta_tables import DeltaTables

_PACKED = f"{PACKED_DDL}, batch_micros BIGINT"


def started_query(
    tables: DeltaTables,
    messages: DataFrame,
    ingest: IngestSettings,
    stream: StreamSettings,
    checkpoint: str,
    *,
    available_now: bool,
    committed: Callable[[LineCounts], None],
) -> StreamingQuery:
    """Start the ingest of messages; `committed` hears of each batch once it is complete.

    The time of a batch is Spark's own batch timestamp, kept in the checkpoint: a retry sees the same.
    """
    timed = messages.withColumn("batch_micros", F.unix_micros(F.current_timestamp()))
    packed = timed.mapInArrow(partial(_packed_messages, ingest), _PACKED)

    def write(rows: DataFrame, batch_id: int) -> None:
        counts = _write_batch(tables, rows, checkpoint_id(tables, checkpoint), batch_id)
        if counts is not None:
            committed(counts)

    writer = (
        packed.writeStream.foreachBatch(write).option("checkpointLocation", checkpoint).queryName("serverload-ingest")
    )
    if available_now:
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=f"{stream.trigger_seconds} seconds").start()


def checkpoint_id(tables: DeltaTables, checkpoint: str) -> str:
    """The id that Spark gave the checkpoint: a new checkpoint has a new one, so its writes are never skipped."""
    text = tables.spark.read.text(f"{checkpoint}/metadata").head()
    if text is None:
        raise StoreError("holds no metadata", where=checkpoint, hint="restore the checkpoint or start with a new home")
    return str(json.loads(text[0])["id"])


def _write_batch(tables: DeltaTables, rows: DataFrame, checkpoint: str, batch_id: int) -> LineCounts | None:
    """Commit one batch; None for one without messages, which has no time either."""
    with computed_once(rows) as once:
        micros = once.agg(F.max("batch_micros")).collect()[0][0]
        if micros is None:
            return None
        return commit_batch(tables, once, IngestBatch(LIVE, checkpoint, batch_id, from_micros(micros)))


def _packed_messages(ingest: IngestSettings, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read the lines of one task's messages; they all carry the same batch time."""
    filled = (batch for batch in batches if batch.num_rows)
    first = next(filled, None)
    if first is None:
        return
    micros = first.column("batch_micros")[0].as_py()
    chunks = (message_lines(batch) for batch in chain((first,), filled))
    for rows in packed_rows(line_rules(ingest, LIVE, from_micros(micros)), chunks, LEAST_PARTS):
        yield rows.append_column("batch_micros", pa.array([micros], pa.int64()))
