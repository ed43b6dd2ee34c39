"""Faults at random while lines are sent and read: afterwards the tables are those of a batch over the same lines.

`make chaos` makes it long: more lines, more faults, on a standalone cluster.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyspark
import pytest
from equal_homes import assert_equal_homes, assert_outcomes_are_a_recount
from faults import Disk, mounted
from pyspark.sql import SparkSession
from standalone_cluster import Cluster
from system import System
from trained_home import SMALL_MODEL, TrainedHome, registry_of, trained_home

from batch.backfill import backfill
from batch.features import update_features
from producers.faults import FaultRates, outgoing
from producers.input_files import input_files
from producers.merge import MergedLines
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.table_reader import run_sql
from streaming.stream import Stream

LONG = os.environ.get("SERVERLOAD_CHAOS") == "long"
SEED = int(os.environ.get("SERVERLOAD_CHAOS_SEED", "1"))
FAULTS = int(os.environ.get("SERVERLOAD_CHAOS_FAULTS", "50" if LONG else "3"))
SERVERS, SESSIONS_PER_HOUR = 40, 400.0
HISTORY_DAYS, LIVE_DAYS, SECONDS_A_FAULT = 7, 3, 36.0
RATES = FaultRates(late=0.05, shuffle=0.3, duplicates=0.01, corrupt=0.01, seed=SEED)


@pytest.fixture(scope="module")
def learned(
    spark: SparkSession, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TrainedHome:
    """A trained home and the days that come after its history."""
    if not LONG:
        return request.getfixturevalue("trained")
    folder = tmp_path_factory.mktemp("learned")
    made = generate_history(
        folder / "sessions",
        servers=SERVERS,
        days=HISTORY_DAYS + LIVE_DAYS,
        start=date(2016, 2, 20),
        seed=SEED,
        dirty=0.01,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )
    return trained_home(spark, folder / "home", list(made.files), HISTORY_DAYS)


def settings_for(home: Path, **stream: object) -> Settings:
    return load_settings(flags={"home": str(home), "model": SMALL_MODEL, "stream": stream})


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk | None]:
    """Where the live home lies, if it may have a file system of its own."""
    with mounted(tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture(scope="module")
def homes(learned: TrainedHome, disk: Disk | None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two homes with the same history and the same champion: one to live in, one for the batch."""
    live = disk.folder if disk else tmp_path_factory.mktemp("live")
    return learned.copied(live), learned.copied(tmp_path_factory.mktemp("batch"))


def test_faults_at_random_leave_what_a_batch_over_the_same_lines_makes(
    spark: SparkSession, learned: TrainedHome, homes: tuple[Path, Path], disk: Disk | None, tmp_path: Path
) -> None:
    live, batch = homes
    files = learned.days[HISTORY_DAYS:]
    lines = [message.text for message in outgoing(MergedLines(list(input_files([str(day) for day in files]))), RATES)]
    cluster = Cluster(tmp_path, Path(pyspark.__file__).parent) if LONG else None
    system = System(
        live,
        disk,
        tmp_path,
        files,
        [*pace(), *rates_given()],
        process_settings(len(lines), cluster.master if cluster else ""),
        cluster,
    )
    try:
        done = struck(system)
        system.finish()
        drained(spark, live, system.bootstrap)
    finally:
        system.close()
        if cluster:
            cluster.stop()

    by_stream, by_batch = DeltaTables(spark, str(live)), DeltaTables(spark, str(batch))
    joined = tmp_path / "sent.csv"
    joined.write_bytes(b"\n".join(lines))
    champion = registry_of(settings_for(batch))
    backfill(by_batch, settings_for(batch).ingest, [str(joined)], Silent())
    Advance(by_batch, settings_for(batch)).run(champion.champion, champion.version)
    for tables in (by_stream, by_batch):
        update_features(tables, settings_for(live), Silent())

    told = run_sql(str(live), "select sum(read)::bigint as read from ingest_log where source = 'live'").to_pylist()
    starts = f"stream started {system.stream.starts} times, producer {system.replay.starts} times"
    print(f"\nseed {SEED}: {len(lines):,} lines sent, {told[0]['read']:,} read; {sum(done.values())} faults; {starts}")
    for kind, count in sorted(done.items()):
        print(f"  {count:3} x {kind}")
    assert sum(done.values()) == FAULTS
    assert "Traceback" not in (tmp_path / "stream.out").read_text()
    assert_equal_homes(live, batch)
    assert_outcomes_are_a_recount(live)


def drained(spark: SparkSession, home: Path, bootstrap: str) -> None:
    """Let a stream without faults read what is left."""
    settings = settings_for(home, max_messages_per_batch=100_000)
    stream = Stream(DeltaTables(spark, settings.home), settings, registry_of(settings), Silent())
    stream.run(bootstrap, available_now=True, stop=threading.Event())


def pace() -> list[str]:
    """The long form sends for as long as its faults last, so that the producer is there to be killed."""
    return ["--speed", f"{LIVE_DAYS * 86400 / (FAULTS * SECONDS_A_FAULT):g}"] if LONG else ["--max"]


def rates_given() -> list[str]:
    return [
        *("--late", str(RATES.late), "--shuffle", str(RATES.shuffle), "--duplicates", str(RATES.duplicates)),
        *("--corrupt", str(RATES.corrupt), "--seed", str(RATES.seed)),
    ]


def process_settings(lines: int, master: str) -> dict[str, str]:
    """Small batches, so that there is always one at work when a fault strikes."""
    settings = {f"SERVERLOAD_MODEL__{name.upper()}": str(entry) for name, entry in SMALL_MODEL.items()}
    settings |= {
        "SERVERLOAD_STREAM__TRIGGER_SECONDS": "0.2",
        "SERVERLOAD_STREAM__FORECAST_INTERVAL_SECONDS": "1",
        "SERVERLOAD_STREAM__MAX_MESSAGES_PER_BATCH": str(max(300, lines // (2 * FAULTS))),
    }
    if not LONG:  # a few hundred rows a query: compiled code for it costs more than it saves
        settings["SERVERLOAD_SPARK__SETTINGS"] = (
            '{"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}'
        )
    if master:
        settings["SERVERLOAD_SPARK__MASTER"] = master
        settings["SERVERLOAD_SPARK__SETTINGS"] = (
            '{"spark.sql.shuffle.partitions": "2", "spark.executor.memory": "700m",'
            ' "spark.databricks.delta.snapshotPartitions": "2"}'
        )
    return settings


def struck(system: System) -> Counter[str]:
    """Strike with all faults, each once batches have been committed since the one before; counts by kind."""
    draws = random.Random(SEED)
    kinds = system.faults()
    done = Counter[str]()
    # each kind first, then at random
    queue = draws.sample(kinds, len(kinds)) + [draws.choice(kinds) for _ in range(FAULTS)]
    for fault in queue[: FAULTS if LONG else len(queue)]:
        if sum(done.values()) == FAULTS:
            break
        wait_for_work(system.home)
        time.sleep(draws.uniform(0, 3))
        if fault.strike():
            done[fault.kind] += 1
    while sum(done.values()) < FAULTS:  # a kind that had nothing left to strike
        wait_for_work(system.home)
        done[kinds[0].kind] += kinds[0].strike()
    return done


def wait_for_work(home: Path, seconds: float = 30.0) -> None:
    """Wait for one more commit of any table; where all has been read there is none."""
    before, deadline = commits(home), time.monotonic() + seconds
    while commits(home) == before and time.monotonic() < deadline:
        time.sleep(0.1)


def commits(home: Path) -> int:
    return sum(1 for _ in home.glob("tables/*/_delta_log/*.json"))
