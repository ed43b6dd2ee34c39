"""The debug profile, which keeps two servers, beside the local one: all of `backfill` on the same files in one run."""

import shutil
import statistics
import tempfile
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from batch.backfill import backfill
from batch.features import update_features
from bench.measuring import seconds
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

RUNS = 3
SERVERS, DAYS, SESSIONS_PER_HOUR = 390, 30, 8.0
PROFILES = ("local", "debug")


def job(spark: SparkSession, profile: str, folder: Path, home: Path) -> None:
    """What `serverload backfill --config PROFILE` does: window sums, hours, servers, features."""
    settings = load_settings(profile, {"home": str(home)})
    tables = DeltaTables(spark, settings.home)
    backfill(tables, settings.ingest, [str(folder)], Silent())
    Advance(tables, settings).run()
    update_features(tables, settings, Silent())


def measured(spark: SparkSession, folder: Path, scratch: Path) -> dict[str, list[float]]:
    """Seconds of each profile, in turn, each on a new home; the first pair warms up and is dropped."""
    taken: dict[str, list[float]] = {profile: [] for profile in PROFILES}
    for run in range(RUNS + 1):
        for profile in PROFILES:
            home = scratch / f"{profile}{run}"
            took = seconds(partial(job, spark, profile, folder, home))
            if run:
                taken[profile].append(took)
            shutil.rmtree(home)
    return taken


def main() -> None:
    """Print the seconds of both and their ratio."""
    with tempfile.TemporaryDirectory(prefix="bench-debug-") as scratch:
        folder = Path(scratch, "sessions")
        made = generate_history(
            folder, servers=SERVERS, days=DAYS, start=date(2016, 6, 1), seed=1, dirty=0.01,
            sessions_per_hour=SESSIONS_PER_HOUR,
        )  # fmt: skip
        spark = spark_session("bench", jars=spark_jars(), output=Path(scratch, "spark.log"))
        taken = measured(spark, folder, Path(scratch))
        spark.stop()
    print(f"{SERVERS} servers, {DAYS} days, {made.bytes:,} bytes, {made.lines:,} lines, median of {RUNS}")
    medians = {profile: statistics.median(runs) for profile, runs in taken.items()}
    for profile, median in medians.items():
        print(f"  --config {profile:6} {median:6.1f} s  ({', '.join(f'{each:.1f}' for each in taken[profile])})")
    print(f"  debug takes {medians['debug'] / medians['local']:.2f} of the time")


if __name__ == "__main__":
    main()
