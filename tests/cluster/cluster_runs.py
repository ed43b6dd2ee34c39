"""What is run: history and live lines on a cluster that loses workers, and the same lines on one machine."""

import csv
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from cluster_site import Site, ended, make_environment, own_interpreter, stop_driver, wait_until
from pyspark.sql import SparkSession
from standalone_cluster import Cluster, can_hide
from trained_home import SMALL_MODEL, registry_of

from batch.backfill import backfill
from batch.backtest import backtest
from batch.features import update_features
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.table_reader import run_sql

Row = dict[str, Any]
SERVERS, HISTORY_DAYS, LIVE_DAYS, SESSIONS_PER_HOUR = 4, 36, 2, 40.0
BATCHES = 5
DEFAULTS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "700m",
    "spark.ui.enabled": "false",
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
    "spark.sql.shuffle.partitions": "3",
    "spark.databricks.delta.snapshotPartitions": "2",
    # what the program would set otherwise
    "spark.sql.parquet.compression.codec": "gzip",
    "spark.sql.execution.arrow.maxBytesPerBatch": "4m",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "3",
}
"""The cluster's own spark-defaults."""


@dataclass
class Ran:
    """What was run on the cluster, and on what."""

    site: Site
    home: Path
    history: list[Path]
    live: list[Path]
    events: Path
    wheel: Path = Path()
    backtest: list[Row] = field(default_factory=list)

    @contextmanager
    def timed(self, job: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        print(f"  {job:64} {time.monotonic() - begun:6.1f} s", flush=True)


def run_on_cluster(folder: Path) -> Ran:
    """Start a cluster and a broker, run all jobs, and end both."""
    made = generate_history(
        folder / "sessions", servers=SERVERS, days=HISTORY_DAYS + LIVE_DAYS, start=date(2016, 2, 1), seed=3,
        dirty=0.01, sessions_per_hour=SESSIONS_PER_HOUR,
    )  # fmt: skip
    files = list(made.files)
    print(f"\n{made.lines:,} lines, {made.bytes:,} bytes, {SERVERS} servers, {HISTORY_DAYS} days and {LIVE_DAYS} live")
    hidden = own_interpreter() if can_hide() else None
    site = Site(folder, site_settings(folder, sum(file.stat().st_size for file in files[:HISTORY_DAYS])))
    done = Ran(site, folder / "home", files[:HISTORY_DAYS], files[HISTORY_DAYS:], folder / "events")
    with done.timed("wheel, environment and archive"):
        done.wheel = make_environment(folder)
    size = (folder / "environment.tar.gz").stat().st_size
    print(f"  archive {size / 1e6:,.0f} MB; hidden from the workers: {hidden or 'nothing'}")
    cluster = Cluster(folder, site.spark_home, hidden=hidden)
    site.settings["SPARK_MASTER"] = cluster.master
    try:
        run_history(done, cluster)
        site.run("broker", "start", "--port", "0")
        try:
            run_live(done, cluster)
        finally:
            site.run("broker", "stop")
    finally:
        cluster.stop()
    return done


def site_settings(folder: Path, history_bytes: int) -> dict[str, str]:
    """The cluster's spark-defaults in a file, and settings by which there is always something to be killed in."""
    for name in ("conf", "events"):
        (folder / name).mkdir()
    defaults = {**DEFAULTS, "spark.eventLog.dir": (folder / "events").as_uri()}
    (folder / "conf" / "spark-defaults.conf").write_text("".join(f"{key} {entry}\n" for key, entry in defaults.items()))
    return {
        "SPARK_CONF_DIR": str(folder / "conf"),
        "SERVERLOAD_HOME": str(folder / "home"),
        **{f"SERVERLOAD_MODEL__{name.upper()}": str(entry) for name, entry in SMALL_MODEL.items()},
        "SERVERLOAD_INGEST__BATCH_BYTES": str(history_bytes // BATCHES),
        "SERVERLOAD_INGEST__RANGE_BYTES": str(history_bytes // BATCHES // 4),
        "SERVERLOAD_STREAM__TRIGGER_SECONDS": "0.2",
        "SERVERLOAD_STREAM__FORECAST_INTERVAL_SECONDS": "1",
        "SERVERLOAD_STREAM__MAX_MESSAGES_PER_BATCH": "1000",
    }


def run_history(ran: Ran, cluster: Cluster) -> None:
    site, files = ran.site, [str(file) for file in ran.history]
    with ran.timed("spark-submit backfill, a worker killed after its first batch"):
        job = site.submit("backfill", "--config", "cluster", *files)
        wait_until(lambda: logged(ran.home, "history")[0] >= 1, job, "committed a batch")
        cluster.kill_worker()
        assert job.poll() is None
        ended(job)
    cluster.add_worker()
    with ran.timed("spark-submit train"):
        ended(site.submit("train", "--config", "cluster"))
    site.settings["SPARK_OPTIONS"] = f"--py-files {ran.wheel}"  # a newer wheel goes before that of the environment
    with ran.timed("spark-submit --py-files backtest"):
        out = site.folder / "backtest.csv"  # spark-submit mixes stderr into stdout
        ended(site.submit("backtest", "--config", "cluster", "--cutoffs", "1", "--step-days", "7", "--out", str(out)))
        ran.backtest = list(csv.DictReader(out.read_text().splitlines()))
    del site.settings["SPARK_OPTIONS"]


def run_live(ran: Ran, cluster: Cluster) -> None:
    site = ran.site
    with ran.timed("spark-submit stream, a worker killed after its first batch"):
        job = site.submit("stream", "--config", "cluster")
        sent = int(site.run("replay", *map(str, ran.live), "--max").split()[0].replace(",", ""))
        wait_until(lambda: logged(ran.home, "live")[0] >= 1, job, "committed a batch")
        assert logged(ran.home, "live")[1] < sent
        cluster.kill_worker()
        wait_until(lambda: logged(ran.home, "live")[1] >= sent, job, "read all that was sent")
        stop_driver(job)
        ended(job)
    print(f"  {sent:,} live lines in {logged(ran.home, 'live')[0]} micro-batches")


def logged(home: Path, source: str) -> tuple[int, int]:
    """Batches of a source that are complete, and the lines that they read."""
    if not (home / "tables" / "ingest_log" / "_delta_log").is_dir():
        return 0, 0
    query = (
        f"select count(*) as batches, coalesce(sum(read), 0)::bigint as read from ingest_log where source = '{source}'"
    )
    (row,) = run_sql(str(home), query).to_pylist()
    return row["batches"], row["read"]


def settings_for(home: Path) -> Settings:
    backtested = {"cutoffs": 1, "step_days": 7}
    return load_settings(flags={"home": str(home), "model": SMALL_MODEL, "backtest": backtested})


@dataclass(frozen=True)
class Alone:
    """A home in which one machine has read the same lines, with the same model, and its backtest of the history."""

    home: Path
    backtest: list[Row]


def run_alone(spark: SparkSession, ran: Ran, home: Path) -> Alone:
    """The same lines in a session of this process; the model is the cluster's."""
    settings, tables = settings_for(home), DeltaTables(spark, str(home))
    backfill(tables, settings.ingest, [str(file) for file in ran.history], Silent())
    Advance(tables, settings).run()
    update_features(tables, settings, Silent())
    runs = home / "runs"  # the registry of the home is to be a copy that nobody has opened before
    runs.mkdir()
    tested = backtest(tables, settings, registry_of(settings_for(runs)).tracking, Silent())
    shutil.copy(ran.home / "mlflow.db", home)
    shutil.copytree(ran.home / "mlartifacts", home / "mlartifacts")
    sent = home / "sent.csv"
    sent.write_bytes(b"".join(file.read_bytes() for file in ran.live))
    backfill(tables, settings.ingest, [str(sent)], Silent())
    copied = registry_of(settings)
    Advance(tables, settings).run(copied.champion, copied.version)
    for each in (tables, DeltaTables(spark, str(ran.home))):
        update_features(each, settings, Silent())
    return Alone(home, tested.report.rows("horizon"))
