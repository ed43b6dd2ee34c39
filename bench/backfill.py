"""Backfill, every check included, beside what a user would pick instead, on the same files in one run.

`python -m bench.backfill [full]`: the bare window sums by Spark's own CSV reader and by DuckDB, DuckDB with the same
checks, and the reading of the bytes; with `full` also Polars and Spark's `from_csv`. Both layouts; medians of five.
"""

import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.backfill import BackfillResult, backfill
from bench.measuring import keep, seconds
from bench.peers import SUMMED, duckdb_bare, duckdb_checked, polars_bare, read_bytes
from producers.synthetic import generate_history
from serverload.contracts.lines import FIELDS_16, FIELDS_17
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

RUNS = 5


@dataclass(frozen=True)
class Shape:
    """A history: its days, sessions of each server in an hour, and the fields of its layout."""

    days: int
    sessions_per_hour: float
    fields: tuple[str, ...] = FIELDS_16


SHAPES = {
    "300 sessions an hour and server": Shape(5, 300.0),
    "300 sessions an hour and server, the older layout": Shape(5, 300.0, FIELDS_17),
    "8 sessions an hour and server": Shape(180, 8.0),
}
"""Dense: 25 lines a window, as 1 TB of some years has; sparse: two, the hardest case."""
OURS = "serverload backfill"
CHECKED = "DuckDB, the same checks"
SPARK, FROM_CSV = "Spark CSV reader, bare sums", "Spark from_csv, bare sums"
DUCKDB, POLARS, FLOOR = "DuckDB, bare sums", "Polars, bare sums", "reading the bytes"
TYPES = {"SessionStart": "TIMESTAMP", **dict.fromkeys(SUMMED.values(), "DOUBLE")}


def schema(fields: Sequence[str] = FIELDS_16) -> str:
    """The columns of a layout as Spark spells them."""
    return ", ".join(f"{name} {TYPES.get(name, 'STRING')}" for name in fields)


def spark_reader(spark: SparkSession, folder: Path, fields: Sequence[str]) -> DataFrame:
    """Lines by Spark's CSV reader."""
    options = {"recursiveFileLookup": "true", "pathGlobFilter": "*.csv"}
    return spark.read.schema(schema(fields)).options(**options).csv(str(folder))


def spark_from_csv(spark: SparkSession, folder: Path, fields: Sequence[str]) -> DataFrame:
    """Lines as text, each parsed by `from_csv`: what one would write for a stream."""
    options = {"recursiveFileLookup": "true", "pathGlobFilter": "*.csv"}
    lines = spark.read.options(**options).text(str(folder))
    return lines.select(F.from_csv("value", schema(fields)).alias("line")).select("line.*")


def bare_sums(lines: DataFrame) -> DataFrame:
    """Window sums without any check: what one would write first."""
    start = F.timestamp_seconds(F.floor(F.unix_timestamp("SessionStart") / 300) * 300).alias("window_start")
    return lines.groupBy("ServerIP", start).agg(
        F.count("*").alias("sessions"), *(F.sum(field).alias(name) for name, field in SUMMED.items())
    )


def in_older_layout(file: Path) -> None:
    """Give each line of 16 fields one more in front, and swap its addresses."""
    lines = [line.split(b",") for line in file.read_bytes().split(b"\n")]
    for line in lines:
        if len(line) == len(FIELDS_16):
            server_ip, carriage_return, _ = line[-1].partition(b"\r")
            line[:] = [b"web", *line[:-2], server_ip, line[-2] + carriage_return]
    file.write_bytes(b"\n".join(b",".join(line) for line in lines))


def sides(
    spark: SparkSession, folder: Path, fields: Sequence[str], scratch: Path, full: bool
) -> dict[str, Callable[[], object]]:
    """What is measured, each into a place of its own that is empty."""
    scratch.mkdir()
    files, settings = sorted(folder.rglob("*.csv")), load_settings().ingest
    counted: dict[str, Counter[str]] = {}

    def ours() -> None:
        done: BackfillResult = backfill(DeltaTables(spark, str(scratch / "ours")), settings, [str(folder)], Silent())
        counted[OURS] = Counter({"accepted": done.counts.accepted, **done.counts.rejected_by_reason})

    def checked() -> None:
        counted[CHECKED] = duckdb_checked(files, scratch / "checked.parquet")
        assert counted[CHECKED] == counted[OURS], counted

    def by_spark(reader: Callable[[SparkSession, Path, Sequence[str]], DataFrame]) -> None:
        bare_sums(reader(spark, folder, fields)).write.format("delta").save(str(scratch / reader.__name__))

    made: dict[str, Callable[[], object]] = {
        OURS: ours,
        CHECKED: checked,
        SPARK: partial(by_spark, spark_reader),
        DUCKDB: partial(duckdb_bare, files, scratch / "bare.parquet", fields),
        FLOOR: partial(read_bytes, files),
    }
    more = {
        POLARS: partial(polars_bare, files, scratch / "polars.parquet", fields),
        FROM_CSV: partial(by_spark, spark_from_csv),
    }
    return made | more if full else made


def measured(
    spark: SparkSession, folder: Path, fields: Sequence[str], scratch: Path, full: bool
) -> dict[str, list[float]]:
    """Seconds of each side, in turn; the first round warms up and is dropped."""
    taken: dict[str, list[float]] = {}
    for run in range(1 + RUNS):
        for name, work in sides(spark, folder, fields, scratch / f"run{run}", full).items():
            its = seconds(work)
            if run:
                taken.setdefault(name, []).append(its)
        shutil.rmtree(scratch / f"run{run}")
    return taken


def report(name: str, scratch: Path, full: bool) -> Mapping[str, object]:
    """Measure one shape of history, tell it, and give its figures."""
    shape, folder = SHAPES[name], scratch / "sessions"
    made = generate_history(
        folder,
        servers=390,
        days=shape.days,
        start=date(2016, 1, 1),
        seed=1,
        dirty=0.01,
        sessions_per_hour=shape.sessions_per_hour,
    )
    if shape.fields == FIELDS_17:
        for file in made.files:
            in_older_layout(file)
    size = sum(file.stat().st_size for file in made.files)
    spark = spark_session("bench", jars=spark_jars(), driver_memory="4g")
    taken = measured(spark, folder, shape.fields, scratch, full)
    spark.stop()
    medians = {name: statistics.median(runs) for name, runs in taken.items()}
    ratios = {name: median / medians[OURS] for name, median in medians.items()}
    print(f"{name}: {size:,} bytes, {made.lines:,} lines, median of {RUNS}")
    for side, median in medians.items():
        speed = size / median / 1e6
        print(f"  {side:28} {median:8.1f} s {speed:9.1f} MB/s; backfill is {ratios[side]:.2f} times as fast")
    sys.stdout.flush()
    return {"bytes": size, "lines": made.lines, "seconds": taken, "ratios": ratios}


def main() -> None:
    """Print a table a shape, and write bench/out/backfill.json."""
    full = sys.argv[1:] == ["full"]
    print(f"{platform.platform()}, {os.cpu_count()} cores")
    reports = {}
    for name in SHAPES:
        with tempfile.TemporaryDirectory() as scratch:
            reports[name] = report(name, Path(scratch), full)
    keep("backfill", reports)


if __name__ == "__main__":
    main()
