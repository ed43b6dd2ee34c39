"""Backfill, every check included, beside the bare sums by Spark's own CSV reader on the same files in one run."""

import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.backfill import backfill
from producers.synthetic import generate_history
from serverload.contracts.lines import FIELDS_16, SUMMED_FIELDS
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

RUNS = 3
DENSE, SPARSE = "300 sessions an hour and server", "8 sessions an hour and server"
SHAPES = {DENSE: (10, 300.0), SPARSE: (180, 8.0)}
"""Days and sessions per hour. Dense: 25 lines a window, as 1 TB of some years has; sparse: two, the hardest case."""
OURS, THEIRS = "serverload backfill", "Spark CSV reader, bare sums"
SUMMED = {"total_load": "TotalLoad", **SUMMED_FIELDS}
TYPES = {"SessionStart": "TIMESTAMP", **dict.fromkeys(SUMMED.values(), "DOUBLE")}


def bare_sums(spark: SparkSession, folder: Path) -> DataFrame:
    """Window sums without any check: what one would write first."""
    schema = ", ".join(f"{name} {TYPES.get(name, 'STRING')}" for name in FIELDS_16)
    lines = (
        spark.read.schema(schema)
        .option("recursiveFileLookup", "true")
        .option("pathGlobFilter", "*.csv")
        .csv(str(folder))
    )
    start = F.timestamp_seconds(F.floor(F.unix_timestamp("SessionStart") / 300) * 300).alias("window_start")
    return lines.groupBy("ServerIP", start).agg(
        F.count("*").alias("sessions"), *(F.sum(name).alias(name) for name in SUMMED.values())
    )


def seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def measured(spark: SparkSession, folder: Path, scratch: Path) -> dict[str, list[float]]:
    """Seconds of each side, in turn, each on a new home; the first pair warms up and is dropped."""
    settings = load_settings().ingest
    taken: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for run in range(RUNS + 1):
        home, bare = scratch / f"home{run}", scratch / f"bare{run}"
        ours = seconds(partial(backfill, DeltaTables(spark, str(home)), settings, [str(folder)], Silent()))
        theirs = seconds(partial(bare_sums(spark, folder).write.format("delta").save, str(bare)))
        if run:
            taken[OURS].append(ours)
            taken[THEIRS].append(theirs)
        shutil.rmtree(home)
        shutil.rmtree(bare)
    return taken


def report(shape: str, scratch: Path) -> dict[str, object]:
    """Measure one shape of history, tell it, and give its figures."""
    days, sessions_per_hour = SHAPES[shape]
    folder = scratch / "sessions"
    made = generate_history(
        folder,
        servers=390,
        days=days,
        start=date(2016, 1, 1),
        seed=1,
        dirty=0.01,
        sessions_per_hour=sessions_per_hour,
    )
    spark = spark_session("bench", jars=spark_jars(), driver_memory="4g")
    taken = measured(spark, folder, scratch)
    spark.stop()
    medians = {name: statistics.median(runs) for name, runs in taken.items()}
    ratio = medians[THEIRS] / medians[OURS]
    print(f"{shape}: {made.bytes:,} bytes, {made.lines:,} lines, median of {RUNS}")
    for name, median in medians.items():
        print(f"  {name:32} {median:8.1f} s {made.bytes / median / 1e6:8.1f} MB/s")
    print(f"  speed against Spark's CSV reader: {ratio:.2f}", flush=True)
    return {"bytes": made.bytes, "lines": made.lines, "seconds": taken, "ratio": ratio}


def main() -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores")
    reports = {}
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as scratch:
            reports[shape] = report(shape, Path(scratch))
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "backfill.json").write_text(json.dumps(reports, indent=1))


if __name__ == "__main__":
    main()
