"""The streaming query: messages to packed rows to tables. Trigger, checkpoint and batches, no arithmetic."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from serverload.contracts.errors import ServerloadError, StoreError
from serverload.contracts.instants import from_micros
from serverload.contracts.settings import IngestSettings, StreamSettings
from serverload.ingest import (
    LEAST_PARTS,
    LIVE,
    BatchFacts,
    IngestBatch,
    ReadOffsets,
    batch_facts,
    commit_batch,
    computed_once,
    line_rules,
)
from serverload.steps.ingest_rows import (
    PACKED_DDL,
    message_lines,
    packed_messages,
    packed_rows,
    rechunked,
)
from serverload.steps.python_workers import spare_what_is_loaded
from serverload.store.checkpoints import Checkpoint
from serverload.store.delta_tables import DeltaTables

Committed = Callable[[IngestBatch, BatchFacts, ReadOffsets], None]

_ARROW = "spark.sql.execution.arrow."
_BY_ROWS = {f"{_ARROW}maxBytesPerBatch": str(2**31 - 1), f"{_ARROW}maxRecordsPerBatch": "512"}
"""How messages go to Python: by bytes, Spark would measure the batch after each message, which took much of the CPU.
With messages of a megabyte, Kafka's usual limit, a batch has half a gigabyte."""
_PACKED = f"{PACKED_DDL}, batch_micros BIGINT"


def started_query(
    tables: DeltaTables,
    messages: DataFrame,
    ingest: IngestSettings,
    stream: StreamSettings,
    checkpoint: Checkpoint,
    *,
    available_now: bool,
    same_topic: Callable[[], None],
    earliest: Callable[[], Mapping[str, int]],
    committed: Committed,
    failed: Callable[[ServerloadError], None],
) -> StreamingQuery:
    """Start the ingest of messages; `committed` hears of each batch once it is complete, `failed` of our own errors.

    The time of a batch is Spark's own batch timestamp, kept in the checkpoint: a retry sees the same. `same_topic`
    raises, before a batch is written, where the topic has been made anew: its offsets begin again, and Spark would pass
    over those below the old ones. `earliest` asks the broker for the first offsets that it still has, where messages
    are missed.
    """
    timed = messages.withColumn("batch_micros", F.unix_micros(F.current_timestamp()))
    packed = timed.mapInArrow(partial(_packed_messages, ingest), _PACKED)

    spark = messages.sparkSession
    by_bytes = {name: str(spark.conf.get(name)) for name in _BY_ROWS}

    def write(rows: DataFrame, batch_id: int) -> None:
        with _conf(rows.sparkSession, by_bytes):
            write_batch(rows, batch_id)

    def write_batch(rows: DataFrame, batch_id: int) -> None:
        try:
            batch = IngestBatch(LIVE, checkpoint.id, batch_id, checkpoint.batch_time(batch_id))
            with computed_once(rows) as once:
                facts = batch_facts(once)
                offsets = _read_offsets(facts.messages, checkpoint, batch_id, earliest)
                same_topic()
                commit_batch(tables, once, facts.counts, batch, offsets=offsets)
                committed(batch, facts, offsets)
        except ServerloadError as error:
            failed(error)
            raise

    writer = packed.writeStream.foreachBatch(write).queryName("serverload-ingest")
    writer = writer.option("checkpointLocation", checkpoint.folder)
    pace = {"availableNow": True} if available_now else {"processingTime": f"{stream.trigger_seconds} seconds"}
    with _conf(spark, _BY_ROWS):  # the query goes on with a copy of them
        return writer.trigger(**pace).start()


@contextmanager
def _conf(spark: SparkSession, entries: Mapping[str, str]) -> Iterator[None]:
    """Let a session have other settings while the block runs."""
    before = {name: str(spark.conf.get(name)) for name in entries}
    for name, entry in entries.items():
        spark.conf.set(name, entry)
    try:
        yield
    finally:
        for name, entry in before.items():
            spark.conf.set(name, entry)


def _read_offsets(
    read: Mapping[str, int], checkpoint: Checkpoint, batch_id: int, earliest: Callable[[], Mapping[str, int]]
) -> ReadOffsets:
    """The offsets that a batch was to read, and how many of them retention had deleted.

    `read`: how many messages of each `topic/partition` came.
    """
    until = checkpoint.until_offsets(batch_id)
    first = {place: checkpoint.first_offsets(batch_id).get(place, 0) for place in until}
    missed = {place: until[place] - first[place] - read.get(place, 0) for place in until}
    lost = 0
    if back := [place for place in until if until[place] < first[place]]:
        raise StoreError(
            f"its newest offset went back from {first[back[0]]} to {until[back[0]]}: the topic has been made anew",
            where=back[0],
            hint="see `A checkpoint that does not fit` in docs/runbook.md",
        )
    if any(missed.values()):
        begin = earliest()
        # a sender's transactions leave offsets without a message too: only what lies before the first is lost
        lost = sum(min(missed[place], max(0, begin.get(place, 0) - first[place])) for place in until)
    moved = sorted(place for place in until if until[place] > first[place])
    return ReadOffsets({place: first[place] for place in moved}, {place: until[place] for place in moved}, lost)


def _packed_messages(ingest: IngestSettings, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read the lines of one task's messages, and count these; they all carry the same batch time."""
    filled = (batch for batch in batches if batch.num_rows)
    first = next(filled, None)
    if first is None:
        return
    micros = pa.array([first.column("batch_micros")[0].as_py()], pa.int64())
    read = Counter[str]()
    chunks = (message_lines(_counted(batch, read)) for batch in rechunked(chain((first,), filled)))
    rules = line_rules(ingest, LIVE, from_micros(micros[0].as_py()))
    for rows in packed_rows(rules, chunks, LEAST_PARTS, servers=True):
        yield rows.append_column("batch_micros", micros)
    yield packed_messages(read).append_column("batch_micros", micros)
    spare_what_is_loaded("lines")


def _counted(batch: pa.RecordBatch, read: Counter[str]) -> pa.RecordBatch:
    counts = pa.Table.from_batches([batch]).group_by(["topic", "partition"]).aggregate([([], "count_all")])
    for place in counts.to_pylist():
        read[f"{place['topic']}/{place['partition']}"] += place["count_all"]
    return batch
