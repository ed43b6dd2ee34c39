"""A backlog of millions: ingest beside `from_csv`, then the whole stream, its memory over time, and a hot server.

Medians of three for ingest and `from_csv`.

`python -m bench.backlog`: messages of one line each in four partitions, micro-batches as the settings have them.
"""

import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from bench.live import fill, ingested, summed_by_from_csv
from bench.measuring import keep
from bench.memory import worker_peaks
from producers.synthetic import generate_history
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.broker import EmbeddedBroker
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.model_registry import ModelRegistry
from serverload.store.session import spark_session
from streaming.stream import Stream

DAYS, SESSIONS_PER_HOUR = 4, 160.0
RUNS, QUARTERS = 3, 4
INGEST, PEER = "ingest alone", "from_csv, bare sums"
DEFAULTS = "from_csv, bare sums, Kafka's own defaults"
EVEN, HOT = "stream", "stream, half of the lines of one server"
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


def settings_for(topic: str, home: Path) -> Settings:
    """The settings as they are shipped, for a topic and a home of its own."""
    return load_settings(flags={"home": str(home), "stream": {"topic": topic}})


def drained(spark: SparkSession, bootstrap: str, settings: Settings) -> dict[str, object]:
    """Drain a topic by the stream, forecasts and all, and watch its memory."""
    stream = Stream(
        DeltaTables(spark, settings.home), settings, ModelRegistry("", settings.model.name, settings.home), Silent()
    )
    samples: list[tuple[int, int]] = []
    with sampled(samples):
        done = stream.run(bootstrap, available_now=True, stop=threading.Event())
    cut = [samples[len(samples) * n // QUARTERS : len(samples) * (n + 1) // QUARTERS] for n in range(QUARTERS)]
    return {
        "batches": done.batches,
        "java_bytes": [max(java for java, _ in part) for part in cut],
        "worker_bytes": [max(worker for _, worker in part) for part in cut],
    }


def measured(scratch: Path) -> dict[str, dict[str, object]]:
    """Fill the topics, warm up, and read each of them by each side in turn: ingest and its peer some times."""
    made = generate_history(
        scratch / "even",
        servers=390,
        days=DAYS,
        start=date(2016, 1, 1),
        seed=1,
        dirty=0.01,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )
    (scratch / "hot").mkdir()
    broker = EmbeddedBroker()
    bootstrap = broker.start(scratch, port=0).bootstrap
    try:
        even = fill(bootstrap, "even", made.files, scratch)
        sent = {"even": even, "hot": fill(bootstrap, "hot", hot(list(made.files), scratch / "hot"), scratch)}
        fill(bootstrap, "warm", made.files[:1], scratch)
        spark = spark_session("bench", jars=spark_jars(), driver_memory="4g")
        sides: dict[str, tuple[str, Callable[[SparkSession, str, Settings], dict[str, object] | None]]] = {
            INGEST: ("even", ingested),
            PEER: ("even", summed_by_from_csv),
            DEFAULTS: ("even", partial(summed_by_from_csv, own=True)),
            EVEN: ("even", drained),
            HOT: ("hot", drained),
        }
        done: dict[str, dict[str, object]] = {}
        took: dict[str, list[float]] = {name: [] for name in sides}
        for number, name in enumerate([*sides, *(INGEST, PEER, DEFAULTS) * RUNS, EVEN, HOT]):
            topic, side = sides[name]
            of = "warm" if number < len(sides) else topic
            begun = time.monotonic()
            told = side(spark, bootstrap, settings_for(of, scratch / f"home-{number}")) or {}
            if of == topic:
                took[name].append(time.monotonic() - begun)
                done[name] = {"messages": sent[topic], "seconds": statistics.median(took[name]), **told}
        spark.stop()
    finally:
        broker.stop(scratch)
    return done


def main() -> None:
    """Print a row per side and write bench/out/backlog.json."""
    print(f"{platform.platform()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch:
        done = measured(Path(scratch))
    whole = float(str(done[INGEST]["seconds"]))
    for name, row in done.items():
        messages, seconds = int(str(row["messages"])), float(str(row["seconds"]))
        print(f"{name:40} {messages:,} messages, {seconds:6.1f} s, {messages / seconds:9,.0f}/s, {seconds / whole:.2f}")
        for kind in ("java_bytes", "worker_bytes"):
            if kind in row:
                quarters = [f"{size / 1e6:,.0f}" for size in row[kind]]  # type: ignore[attr-defined]
                print(f"  {kind.removesuffix('_bytes'):6} MB by quarter of the run: {', '.join(quarters)}")
    keep("backlog", done)


if __name__ == "__main__":
    main()
