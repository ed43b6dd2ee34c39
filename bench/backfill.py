"""Backfill, every check included, beside the bare sums by Spark's own CSV reader on the same files in one run."""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
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
    """Seconds of each side, in turn; the first pair warms up and is dropped."""
    settings = load_settings().ingest
    taken: dict[str, list[float]] = {"serverload backfill": [], "Spark CSV reader, bare sums": []}
    for run in range(RUNS + 1):
        tables = DeltaTables(spark, str(scratch / f"home{run}"))
        ours = seconds(lambda tables=tables: backfill(tables, settings, [str(folder)], Silent()))  # type: ignore[misc]
        bare = bare_sums(spark, folder)
        theirs = seconds(lambda bare=bare, run=run: bare.write.format("delta").save(str(scratch / f"bare{run}")))  # type: ignore[misc]
        if run:
            taken["serverload backfill"].append(ours)
            taken["Spark CSV reader, bare sums"].append(theirs)
    return taken


def main() -> None:
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sessions"
        made = generate_history(
            folder, servers=390, days=days, start=date(2016, 1, 1), seed=1, dirty=0.01, sessions_per_hour=8.0
        )
        spark = spark_session("bench", jars=spark_jars(), driver_memory="4g")
        taken = measured(spark, folder, Path(scratch))
        spark.stop()
    medians = {name: statistics.median(runs) for name, runs in taken.items()}
    ours, theirs = medians.values()
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, {made.bytes:,} bytes, {made.lines:,} lines, median of {RUNS}"
    )
    for name, median in medians.items():
        print(f"  {name:32} {median:8.1f} s {made.bytes / median / 1e6:8.1f} MB/s")
    print(f"  speed against Spark's CSV reader: {theirs / ours:.2f}")
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    report = {"bytes": made.bytes, "lines": made.lines, "seconds": taken, "ratio": theirs / ours}
    (out / "backfill.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
