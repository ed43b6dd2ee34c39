"""Messages of a topic to window sums in Delta: the stream's ingest, and the same by what one would write first."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.backfill import bare_sums, schema
from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
from producers.senders import ConfluentSender
from producers.synthetic import generate_history
from producers.topics import ensure_topic
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings
from serverload.store.broker import EmbeddedBroker
from serverload.store.checkpoints import Checkpoint
from serverload.store.delta_tables import DeltaTables
from streaming.queries import started_query
from streaming.sources import kafka_messages, kafka_options
from streaming.topic import Topic

_PARTITIONS = 4


def fill(bootstrap: str, topic: str, files: Sequence[Path], scratch: Path) -> int:
    """Send files into a new topic of four partitions, a line a message; gives how many."""
    ensure_topic(bootstrap, topic, _PARTITIONS)
    with closing(ConfluentSender(bootstrap, topic)) as sender:
        paths, positions = [str(path) for path in files], scratch / "replay" / topic
        return replay(paths, sender, ReplayOptions(None), WallClock(), positions=positions, progress=Silent()).sent


@contextmanager
def topic_of_lines(scratch: Path, servers: int, days: int, sessions_per_hour: float) -> Iterator[tuple[str, int]]:
    """A broker with a generated history in the topic `sessions`: its address, and how many messages there are."""
    made = generate_history(
        scratch / "live", servers=servers, days=days, start=date(2016, 1, 1), seed=1, dirty=0.01,
        sessions_per_hour=sessions_per_hour,
    )  # fmt: skip
    broker = EmbeddedBroker()
    bootstrap = broker.start(scratch, port=0).bootstrap
    try:
        yield bootstrap, fill(bootstrap, "sessions", made.files, scratch)
    finally:
        broker.stop(scratch)


def ingested(spark: SparkSession, bootstrap: str, settings: Settings) -> None:
    """Every check, refused lines and counts included; no hour is closed meanwhile."""
    options = kafka_options(bootstrap, settings.kafka)
    topic = Topic(spark, settings.stream.topic, options)
    checkpoint = Checkpoint(spark, f"{settings.home}/checkpoints/{settings.stream.topic}")
    checkpoint.claim(topic.id())
    query = started_query(
        DeltaTables(spark, settings.home),
        kafka_messages(spark, options, settings.stream),
        settings.ingest,
        settings.stream,
        checkpoint,
        available_now=True,
        same_topic=lambda: None,
        earliest=topic.earliest_offsets,
        committed=lambda *_: None,
        failed=lambda _: None,
    )
    query.awaitTermination()


def summed_by_from_csv(spark: SparkSession, bootstrap: str, settings: Settings, *, own: bool = False) -> None:
    """The bare sums of each micro-batch by `from_csv`, appended to a Delta table; nothing is checked or counted.

    By the options of our own source, or by Kafka's `own`.
    """
    folder = Path(settings.home)
    options = {"kafka.bootstrap.servers": bootstrap} if own else kafka_options(bootstrap, settings.kafka)
    messages = kafka_messages(spark, options, settings.stream)
    lines = messages.select(F.from_csv(F.col("value").cast("string"), schema()).alias("line")).select("line.*")

    def write(batch: DataFrame, _id: int) -> None:
        bare_sums(batch).write.format("delta").mode("append").save(str(folder / "bare"))

    writer = lines.writeStream.foreachBatch(write).option("checkpointLocation", str(folder / "checkpoint"))
    writer.trigger(availableNow=True).start().awaitTermination()
