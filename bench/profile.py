"""Where the time goes: CPU of Java, Python workers and broker in the live ingest and in a backfill, and inside each.

`python -m bench.profile [LIBRARY]`: LIBRARY is libasyncProfiler.so (in Maven as tools.profiler:async-profiler); without
it Java is not looked into. What Java did before the measured work, its start among it, is in its shares.
"""

import cProfile
import os
import pstats
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pyspark import SparkContext

from bench.backlog import settings_for
from bench.live import ingested, topic_of_lines
from producers.synthetic import generate_history
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.ingest import LEAST_PARTS, LIVE, line_rules
from serverload.steps.ingest_rows import file_lines, packed_rows
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

RUNS = 2
SERVERS, LIVE_DAYS, HISTORY_DAYS, SESSIONS_PER_HOUR = 390, 2, 4, 160.0
_TICKS = os.sysconf("SC_CLK_TCK")
_CHUNK = 8 * 1024 * 1024
_TASK, _DRIVER = "tasks", "driver"
_THREADS = {
    _TASK: "Executor task",
    "compilers": "CompilerThre|Sweeper",
    _DRIVER: r"stream execution|\[Thread-|\[main",
    "garbage collection": r"GC|G1",
}
_PARTS = {
    _TASK: {
        "messages from Kafka": "KafkaBatchPartitionReader",
        "of it, polls": "InternalKafkaConsumer.fetch",
        "of it, rows made of messages": "KafkaRecordToRowConverter",
        "rows to Arrow": "arrow/ArrowWriter",
        "files read": "FileScanRDD",
        "results from Python": "ArrowStreamReader",
    },
    _DRIVER: {
        "classes looked up by name": "ReflectionCommand",
        "tables made": "CreateDeltaTable",
        "Delta": "io/delta|sql/delta",
        "plans": "catalyst|QueryExecution",
    },
}


def cpu_seconds() -> dict[str, float]:
    """CPU that each kind of process has taken so far."""
    taken = dict.fromkeys(("Java", "Python workers", "Python driver", "broker"), 0.0)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            own, system, of_ended, of_ended_system = (process / "stat").read_text().rpartition(")")[2].split()[11:15]
        except OSError:
            continue
        seconds = (int(own) + int(system)) / _TICKS
        if b"SparkSubmit" in command:
            taken["Java"] += seconds
        elif b"pyspark" in command and b"daemon" in command:
            taken["Python workers"] += seconds + (int(of_ended) + int(of_ended_system)) / _TICKS
        elif b"kafka.Kafka" in command:
            taken["broker"] += seconds
        elif int(process.name) == os.getpid():
            taken["Python driver"] += seconds
    return taken


def told_cpu(name: str, lines: int, work: Callable[[int], None]) -> None:
    """Run some work, the first time unmeasured, and print the CPU of each kind of process per million lines."""
    work(0)
    before = cpu_seconds()
    for run in range(1, RUNS + 1):
        work(run)
    after = cpu_seconds()
    parts = {kind: (after[kind] - before[kind]) / RUNS / lines * 1e6 for kind in after}
    told = ", ".join(f"{kind} {part:.2f} ({part / sum(parts.values()):.0%})" for kind, part in parts.items() if part)
    print(f"{name}: CPU seconds a million lines: {sum(parts.values()):.2f}: {told}", flush=True)


def end_java() -> None:
    """End Spark's Java process and wait for it: then it has written its samples."""
    gateway: Any = SparkContext._gateway
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def live(scratch: Path) -> None:
    """The live ingest of a backlog, again and again."""
    with topic_of_lines(scratch, SERVERS, LIVE_DAYS, SESSIONS_PER_HOUR) as (bootstrap, sent):
        spark = spark_session("bench", jars=spark_jars())
        told_cpu(
            "live ingest", sent, lambda run: ingested(spark, bootstrap, settings_for("sessions", scratch / f"{run}"))
        )
        end_java()


def history(scratch: Path) -> None:
    """Backfills of the same files, each into a new home, and the kernel's Python alone."""
    from batch.backfill import backfill

    made = generate_history(
        scratch / "history", servers=SERVERS, days=HISTORY_DAYS, start=date(2016, 1, 1), seed=1, dirty=0.01,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )  # fmt: skip
    spark = spark_session("bench", jars=spark_jars())

    def work(run: int) -> None:
        settings = load_settings(flags={"home": str(scratch / f"home{run}")})
        backfill(DeltaTables(spark, settings.home), settings.ingest, [str(scratch / "history")], Silent())

    told_cpu("backfill", made.lines, work)
    end_java()
    rules = line_rules(load_settings().ingest, LIVE, datetime(2020, 1, 1, tzinfo=UTC))
    chunks = [
        made.files[0].read_bytes()[begin : begin + _CHUNK] for begin in range(0, made.files[0].stat().st_size, _CHUNK)
    ]
    profile = cProfile.Profile()
    for each in (None, profile):  # the first time compiles
        if each:
            each.enable()
        list(packed_rows(rules, (file_lines("a", 0, chunk) for chunk in chunks), LEAST_PARTS))
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    whole = sum(own for _, _, own, _, _ in stats.values())
    print("in a Python worker, from lines to packed window sums:")
    for (file, _line, function), (_, _, own, _, _) in sorted(stats.items(), key=lambda entry: -entry[1][2])[:8]:
        print(f"  {own / whole:5.0%} {Path(file).stem} {function}")


def told_java(folder: Path) -> None:
    """Print the shares of threads, and of parts within them, from the samples of Spark's Java process."""
    samples = max(folder.glob("*.txt"), key=lambda file: file.stat().st_size)
    threads, parts = Counter[str](), Counter[tuple[str, str]]()
    for line in samples.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        head = stack.partition(";")[0]
        thread = next((name for name, pattern in _THREADS.items() if re.search(pattern, head)), "others")
        threads[thread] += int(count)
        for part, pattern in _PARTS.get(thread, {}).items():
            if re.search(pattern, stack):
                parts[thread, part] += int(count)
    print("in Java:")
    for thread, samples_of in threads.most_common():
        print(f"  {samples_of / threads.total():5.0%} {thread}")
        for (of, part), within in parts.most_common():
            if of == thread and within >= 0.005 * samples_of:
                print(f"        {within / samples_of:5.0%} {part}")


def main() -> None:
    """Profile both, each in a process of its own."""
    library = sys.argv[1] if len(sys.argv) > 1 else ""
    for work in (live, history):
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            (scratch / "samples").mkdir()
            environment = dict(os.environ)
            if library:
                told = f"start,event=itimer,interval=2ms,threads,collapsed,file={scratch}/samples/%p.txt"
                environment["JDK_JAVA_OPTIONS"] = f"-agentpath:{library}={told}"
            code = f"import sys, pathlib, bench.profile as b; b.{work.__name__}(pathlib.Path(sys.argv[1]))"
            ran = [sys.executable, "-c", code, folder]
            words = subprocess.run(ran, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            print(words.stdout.decode().replace("Profiling started\n", ""), end="", flush=True)
            if library:
                told_java(scratch / "samples")


if __name__ == "__main__":
    main()
