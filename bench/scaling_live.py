"""The stream's ingest of the same messages in micro-batches of several sizes: a measurement of bench.scaling."""

from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from bench.live import fill, ingested
from bench.measuring import seconds
from producers.synthetic import generate_history
from serverload.contracts.settings import load_settings
from serverload.store.broker import EmbeddedBroker
from serverload.store.delta_tables import DeltaTables

MESSAGES_A_BATCH = (100_000, 250_000, 500_000, 1_000_000)
"""The first warms up and is dropped."""
SERVERS, DAYS, SESSIONS_PER_HOUR = 390, 1, 106.0
Row = dict[str, float]


def stream_rows(spark: SparkSession, scratch: Path) -> list[Row]:
    """Fill a topic once, and drain it into a new home for each size."""
    made = generate_history(
        scratch / "live", servers=SERVERS, days=DAYS, start=date(2016, 1, 1), seed=1, dirty=0.01,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )  # fmt: skip
    broker = EmbeddedBroker()
    bootstrap = broker.start(scratch, port=0).bootstrap
    try:
        sent = fill(bootstrap, "sessions", made.files, scratch)
        return [drained(spark, bootstrap, scratch / f"live-{most}", most, sent) for most in MESSAGES_A_BATCH][1:]
    finally:
        broker.stop(scratch)


def drained(spark: SparkSession, bootstrap: str, home: Path, most: int, sent: int) -> Row:
    settings = load_settings(flags={"home": str(home), "stream": {"max_messages_per_batch": most}})
    took = seconds(partial(ingested, spark, bootstrap, settings))
    batches = DeltaTables(spark, settings.home).read("ingest_log").count()
    of_each = {"messages_a_batch": sent // batches, "batch_seconds": took / batches}
    return {"at_most": most, "batches": batches, "messages": sent, "seconds": took, **of_each}
