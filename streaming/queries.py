"""The streaming query: messages to tagged rows to tables. Trigger, checkpoint and batches, no arithmetic."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from serverload.contracts.errors import StoreError
from serverload.contracts.instants import from_micros
from serverload.contracts.settings import IngestSettings, StreamSettings
from serverload.ingest import LIVE, IngestBatch, commit_batch, computed_once, line_rules
from serverload.steps.event_kernel import LineCounts
from serverload.steps.ingest_rows import TAGGED_DDL, WINDOW, message_lines, tagged_rows
from serverload.store.delta_tables import DeltaTables

_TAGGED = f"{TAGGED_DDL}, batch_micros BIGINT"


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
    tagged = timed.mapInArrow(partial(_tagged_messages, ingest), _TAGGED)

    def write(rows: DataFrame, batch_id: int) -> None:
        counts = _write_batch(tables, rows, checkpoint_id(tables, checkpoint), batch_id)
        if counts is not None:
            committed(counts)

    writer = (
        tagged.writeStream.foreachBatch(write).option("checkpointLocation", checkpoint).queryName("serverload-ingest")
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
    is_window = F.col("kind") == WINDOW
    with computed_once(rows) as tagged:
        micros = tagged.agg(F.max("batch_micros")).collect()[0][0]
        if micros is None:
            return None
        batch = IngestBatch(LIVE, checkpoint, batch_id, from_micros(micros))
        windows, others = (tagged.drop("batch_micros").where(of_kind) for of_kind in (is_window, ~is_window))
        return commit_batch(tables, windows, others, batch)


def _tagged_messages(ingest: IngestSettings, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Tag the lines of one task's messages; they all carry the same batch time."""
    for batch in batches:
        if not batch.num_rows:
            continue
        micros = batch.column("batch_micros")[0].as_py()
        rules = line_rules(ingest, LIVE, from_micros(micros))
        for rows in tagged_rows(rules, [message_lines(batch)]):
            stamp = pa.array([micros] * rows.num_rows, pa.int64())
            yield pa.RecordBatch.from_arrays([*rows.columns, stamp], names=[*rows.schema.names, "batch_micros"])
