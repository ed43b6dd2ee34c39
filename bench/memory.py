"""Peak memory of the Python workers of a backfill, over files of growing size, plain and compressed, in one run."""

import gzip
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from batch.backfill import backfill
from bench.measuring import keep
from producers.synthetic import generate_history
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

DAYS = (1, 4, 16, 48)
_WORKER = b"pyspark.daemon"


def worker_peaks() -> list[int]:
    """Highest resident bytes so far of each of Spark's Python workers on this machine."""
    peaks = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if _WORKER not in (process / "cmdline").read_bytes():
                continue
            facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        except OSError:
            continue
        peaks.append(int(facts["VmHWM"].split()[0]) * 1024)
    return peaks


def joined(days: Sequence[Path], folder: Path, compressed: bool) -> Path:
    """A folder with one file that holds these days."""
    folder.mkdir(parents=True)
    target = folder / ("sessions.csv.gz" if compressed else "sessions.csv")
    with gzip.open(target, "wb", compresslevel=1) if compressed else target.open("wb") as out:
        for day in days:
            with day.open("rb") as lines:
                shutil.copyfileobj(lines, out)
    return folder


def measured(spark: SparkSession, days: Sequence[Path], scratch: Path) -> list[dict[str, object]]:
    """Backfill each file on a home of its own; the workers live on, so a peak never falls from row to row."""
    rows: list[dict[str, object]] = []
    for compressed in (False, True):
        for count in DAYS:
            name = f"{'gz' if compressed else 'csv'}-{count}"
            folder = joined(days[:count], scratch / name, compressed)
            done = backfill(
                DeltaTables(spark, str(scratch / f"home-{name}")), load_settings().ingest, [str(folder)], Silent()
            )
            rows.append(
                {
                    "file": "gz" if compressed else "csv",
                    "uncompressed_bytes": sum(day.stat().st_size for day in days[:count]),
                    "lines": done.counts.read,
                    "peak_worker_bytes": max(worker_peaks()),
                }
            )
            shutil.rmtree(folder)
    return rows


def main() -> None:
    """Print a row per file and write bench/out/memory.json."""
    with tempfile.TemporaryDirectory() as scratch:
        made = generate_history(
            Path(scratch) / "days",
            servers=390,
            days=max(DAYS),
            start=date(2016, 1, 1),
            seed=1,
            dirty=0.01,
            sessions_per_hour=60.0,
        )
        spark = spark_session("bench", jars=spark_jars(), driver_memory="4g")
        rows = measured(spark, made.files, Path(scratch))
        spark.stop()
    for row in rows:
        size, peak = (int(str(row[name])) / 1e6 for name in ("uncompressed_bytes", "peak_worker_bytes"))
        print(f"  {row['file']:3} {size:8.0f} MB {row['lines']:>12,} lines: peak worker memory {peak:6.0f} MB")
    keep("memory", rows)


if __name__ == "__main__":
    main()
