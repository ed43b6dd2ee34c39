"""The jobs on a Spark cluster, by the scripts of deploy/ and the built wheel: a master, two workers, a Kafka broker.

`make cluster` runs it. One worker is killed while history is read and another while live lines are; afterwards all
tables are those that one machine makes of the same lines. The workers do not see the interpreter of this machine, where
that can be hidden from them: their Python is that of the archive.
"""

import csv
import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cluster_runs import DEFAULTS, Alone, Ran, Row, run_alone, run_on_cluster
from equal_homes import assert_equal_homes, assert_outcomes_are_a_recount
from pyspark.sql import SparkSession

from serverload.contracts.settings import profile_names


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_on_cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def alone(ran: Ran, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return run_alone(spark, ran, tmp_path_factory.mktemp("alone"))


def test_tables_are_those_of_one_machine(ran: Ran, alone: Alone) -> None:
    assert_equal_homes(ran.home, alone.home)
    assert_outcomes_are_a_recount(ran.home)


def test_a_backtest_finds_what_one_machine_finds(ran: Ran, alone: Alone) -> None:
    """The forest's scores too: its rows come in an order that their content alone decides."""
    assert scored(ran.backtest) == scored(alone.backtest)
    assert {name for name, *_rest in scored(ran.backtest)} >= {"forest", "climatology"}


def scored(rows: list[Row]) -> list[tuple[str, ...]]:
    """By model and horizon, numbers to nine places, whether from a file or not."""
    shown = ("model", "horizon_hours", "accuracy", "macro_f1", "rps")
    return sorted(tuple(_text(row[name]) for name in shown) for row in rows)


def _text(entry: object) -> str:
    try:
        return f"{float(str(entry)):.9f}"
    except ValueError:
        return str(entry)


def test_settings_of_the_cluster_win_over_those_of_the_program(ran: Ran) -> None:
    logs = list(ran.events.iterdir())
    assert len(logs) == 4
    for log in logs:
        (told,) = (event["Spark Properties"] for event in events(log) if "Spark Properties" in event)
        assert {key: entry for key, entry in told.items() if key in DEFAULTS} == DEFAULTS
        assert told["spark.sql.session.timeZone"] == "UTC"
    for file in (ran.home / "tables" / "hourly_load").rglob("*.parquet"):
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "GZIP"


def test_both_killed_workers_were_at_work(ran: Ran) -> None:
    lost = {}
    for log in ran.events.iterdir():
        (name,) = (event["App Name"] for event in events(log) if event["Event"] == "SparkListenerApplicationStart")
        lost[name] = sum(event["Event"] == "SparkListenerExecutorRemoved" for event in events(log))
    assert lost == {
        **{"serverload backfill": 1, "serverload train": 0, "serverload backtest": 0, "serverload stream": 1},
    }


def test_executors_compile_nothing_anew(ran: Ran) -> None:
    kernel = "work*/app-*/*/environment/lib/python*/site-packages/serverload/steps/event_kernel/__pycache__/*.nb[ci]"
    code = list(ran.site.folder.glob(kernel))
    packed_at = (ran.site.folder / "environment.tar.gz").stat().st_mtime
    assert len(code) > 6
    assert all(file.stat().st_mtime < packed_at for file in code)


def test_the_wheel_alone_is_fit_for_every_job(ran: Ran) -> None:
    told = list(csv.DictReader(io.StringIO(ran.site.run("doctor", "--config", "cluster", "--format", "csv"))))
    waiting = {row["check"] for row in told if row["check"].startswith("job ") and row["ok"] != "ok"}
    assert waiting == {"job replay to Kafka", "job replay to Event Hubs", "job stream"}
    for profile in profile_names():
        ran.site.run("config", "show", "--config", profile)
    asked = "import batch, conf, serverload, streaming; print(*serverload.__path__, *conf.__path__, *batch.__path__)"
    where = subprocess.run(
        [str(ran.site.python), "-c", asked], capture_output=True, text=True, cwd=ran.site.folder, env={}, check=True
    )
    assert all(path.startswith(f"{ran.site.folder}/environment/") for path in where.stdout.split())
    documents = {Path(name).name for name in zipfile.ZipFile(ran.wheel).namelist() if name.endswith(".md")}
    assert documents >= {"runbook.md", "settings.md", "cluster.md"}
    assert (ran.site.folder / "environment/share/doc/serverload/docs/runbook.md").is_file()


def events(log: Path) -> list[dict[str, Any]]:
    """What Spark's event log of a job holds."""
    return [json.loads(line) for line in log.read_text().splitlines()]
