"""A backlog of millions drained by the stream: events a second, memory over time, and with half of it one server's."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from bench.measuring import keep
from bench.memory import worker_peaks
from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
from producers.senders import ConfluentSender
from producers.synthetic import generate_history
from producers.topics import ensure_topic
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.broker import EmbeddedBroker
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.model_registry import ModelRegistry
from serverload.store.session import spark_session
from streaming.stream import Stream

DAYS, PARTITIONS, BATCH = 4, 4, 200_000
QUARTERS = 4
_PLACE = -1
"""ServerIP is the last of the 16 fields."""


def hot(files: list[Path], folder: Path) -> list[Path]:
    """The same lines, every other one of a single server."""
    made = []
    for file in files:
        lines = file.read_bytes().split(b"\n")
        for number in range(0, len(lines), 2):
            fields = lines[number].split(b",")
            if len(fields) == 16:
                lines[number] = b",".join([*fields[:_PLACE], b"10.255.255.255"])
        made.append(folder / file.name)
        made[-1].write_bytes(b"\n".join(lines))
    return made


def java_memory() -> int:
    """Resident bytes of the Java process that is Spark's driver."""
    sizes = [0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"SparkSubmit" in (process / "cmdline").read_bytes():
                facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
                sizes.append(int(facts["VmRSS"].split()[0]) * 1024)
        except (OSError, KeyError):
            continue
    return max(sizes)


@contextmanager
def sampled(samples: list[tuple[int, int]]) -> Iterator[None]:
    """Note the memory of Java and of the largest Python worker so far, each second of the block."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1):
            samples.append((java_memory(), max(worker_peaks(), default=0)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def drained(spark: SparkSession, bootstrap: str, topic: str, home: Path) -> dict[str, object]:
    """Drain a topic into a home of its own."""
    settings = load_settings(flags={"home": str(home), "stream": {"topic": topic, "max_messages_per_batch": BATCH}})
    stream = Stream(
        DeltaTables(spark, settings.home), settings, ModelRegistry("", settings.model.name, settings.home), Silent()
    )
    samples: list[tuple[int, int]] = []
    begun = time.monotonic()
    with sampled(samples):
        done = stream.run(bootstrap, available_now=True, stop=threading.Event())
    seconds = time.monotonic() - begun
    cut = [samples[len(samples) * n // QUARTERS : len(samples) * (n + 1) // QUARTERS] for n in range(QUARTERS)]
    return {
        "messages": done.counts.read,
        "batches": done.batches,
        "seconds": seconds,
        "java_bytes": [max(java for java, _ in part) for part in cut],
        "worker_bytes": [max(worker for _, worker in part) for part in cut],
    }


def measured(scratch: Path) -> dict[str, dict[str, object]]:
    """Fill two topics, warm up on a third, drain both."""
    made = generate_history(
        scratch / "even", servers=390, days=DAYS, start=date(2016, 1, 1), seed=1, dirty=0.01, sessions_per_hour=60.0
    )
    (scratch / "hot").mkdir()
    files = {"warm": list(made.files)[:1], "even": list(made.files), "hot": hot(list(made.files), scratch / "hot")}
    broker = EmbeddedBroker()
    bootstrap = broker.start(scratch, port=0).bootstrap
    try:
        for topic, paths in files.items():
            ensure_topic(bootstrap, topic, PARTITIONS)
            with closing(ConfluentSender(bootstrap, topic)) as sender:
                replay(
                    [str(path) for path in paths],
                    sender,
                    ReplayOptions(None),
                    WallClock(),
                    positions=scratch / "replay" / topic,
                )
        spark = spark_session("bench", jars=spark_jars(), driver_memory="4g")
        done = {topic: drained(spark, bootstrap, topic, scratch / f"home-{topic}") for topic in files}
        spark.stop()
    finally:
        broker.stop(scratch)
    return done


def main() -> None:
    """Print a row per topic and write bench/out/backlog.json."""
    with tempfile.TemporaryDirectory() as scratch:
        done = measured(Path(scratch))
    for topic in ("even", "hot"):
        row = done[topic]
        messages, seconds = int(str(row["messages"])), float(str(row["seconds"]))
        print(
            f"{topic}: {messages:,} messages in {row['batches']} batches, {seconds:.1f} s, {messages / seconds:,.0f}/s"
        )
        for name in ("java_bytes", "worker_bytes"):
            quarters = [f"{size / 1e6:,.0f}" for size in row[name]]  # type: ignore[attr-defined]
            print(f"  {name.removesuffix('_bytes'):6} MB by quarter of the run: {', '.join(quarters)}")
    ratio = float(str(done["hot"]["seconds"])) / float(str(done["even"]["seconds"]))
    print(f"time with a hot server against without: {ratio:.2f}")
    keep("backlog", done)


if __name__ == "__main__":
    main()
