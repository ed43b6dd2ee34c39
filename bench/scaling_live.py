"""The stream's ingest of the same messages in micro-batches of several sizes: a measurement of bench.scaling."""

from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from bench.live import ingested, topic_of_lines
from bench.measuring import seconds
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables

MESSAGES_A_BATCH = (100_000, 250_000, 500_000, 1_000_000)
"""The first warms up and is dropped."""
SERVERS, DAYS, SESSIONS_PER_HOUR = 390, 1, 106.0
Row = dict[str, float]


def stream_rows(spark: SparkSession, scratch: Path) -> list[Row]:
    """Fill a topic once, and drain it into a new home for each size."""
    with topic_of_lines(scratch, SERVERS, DAYS, SESSIONS_PER_HOUR) as (bootstrap, sent):
        return [drained(spark, bootstrap, scratch / f"live-{most}", most, sent) for most in MESSAGES_A_BATCH][1:]


def drained(spark: SparkSession, bootstrap: str, home: Path, most: int, sent: int) -> Row:
    settings = load_settings(flags={"home": str(home), "stream": {"max_messages_per_batch": most}})
    took = seconds(partial(ingested, spark, bootstrap, settings))
    batches = DeltaTables(spark, settings.home).read("ingest_log").count()
    of_each = {"messages_a_batch": sent // batches, "batch_seconds": took / batches}
    return {"at_most": most, "batches": batches, "messages": sent, "seconds": took, **of_each}
