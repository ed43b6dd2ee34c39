"""Jobs as processes: killed and gone on with, stopped by a signal, asked."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from commands import NOISE, command, commits, lines_in, one, ran, ran_here, wait_until
from pyspark.sql import SparkSession
from trained_home import TrainedHome

from serverload.store.runs import list_runs
from serverload.store.table_reader import run_sql
from serverload.store.tracking import Tracking


@pytest.fixture(scope="module")
def killed_home(spark: SparkSession, trained: TrainedHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose backfill was killed with -9 between two batches, then run again."""
    home = tmp_path_factory.mktemp("killed")
    batch = max(file.stat().st_size for file in trained.history) * 4
    killed = command("backfill", *trained.history, "--home", home, SERVERLOAD_INGEST__BATCH_BYTES=str(batch))
    wait_until(lambda: commits(home, "ingested_files") >= 2, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert total(home, "read") < lines_in(*trained.history)
    ran_here("backfill", *trained.history, "--home", home)
    return home


def total(home: Path, count: str) -> int:
    return int(run_sql(str(home), f"select coalesce(sum({count}), 0)::bigint as n from ingest_log").to_pylist()[0]["n"])


def test_a_backfill_killed_between_batches_reads_each_line_once(killed_home: Path, trained: TrainedHome) -> None:
    assert total(killed_home, "read") == lines_in(*trained.history)
    assert one(killed_home, "select count(*) - count(distinct uri) from ingested_files") == 0
    assert one(killed_home, "select sum(sessions)::bigint from load_windows") == total(killed_home, "accepted")


def test_a_training_ended_by_sigterm_is_recorded_as_killed(killed_home: Path) -> None:
    training = command("train", "--home", killed_home, SERVERLOAD_MODEL__TREES="500")
    tracking = Tracking("", str(killed_home))
    wait_until(lambda: [run.status for run in list_runs(tracking, job="train")] == ["RUNNING"], training)
    training.send_signal(signal.SIGTERM)
    told, said = training.communicate(timeout=60)
    assert (training.returncode, told, said.splitlines()[-1]) == (143, "", "serverload: stopped"), said
    assert NOISE.search(said) is None, said
    assert [run.status for run in list_runs(tracking, job="train")] == ["KILLED"]


def test_what_spark_says_is_in_the_home(killed_home: Path) -> None:
    log = (killed_home / "logs" / "spark.log").read_text()
    assert re.match(r"--- \S+Z \S+ backfill, process \d+\n", log)
    assert "incubator modules" in log


def test_a_stream_stopped_by_sigterm_and_drained_later_loses_nothing(
    spark: SparkSession, trained: TrainedHome, tmp_path: Path
) -> None:
    home, days = trained.copied(tmp_path / "home"), trained.days
    ran("broker", "start", "--home", home, "--port", 0)
    try:
        stream = command("stream", "--home", home, SERVERLOAD_LOGS__FORMAT="json")
        wait_until(lambda: commits(home, "forecasts") >= 2, stream)
        second = command("stream", "--home", home)
        ran("replay", days[-1], "--home", home, "--max")
        wait_until(lambda: total(home, "read") > lines_in(*days[:-1]), stream)
        _told, said = second.communicate(timeout=120)
        assert (second.returncode, one_line(said, f"in use by process {stream.pid}")) == (1, True), said
        steps = json.loads(ran_here("daily", *trained.history, "--home", home, "--format", "json"))
        assert {step["result"] for step in steps} == {"ok"}, steps
        assert steps[0]["what"].startswith(f"0 new files, {len(trained.history)} known; 0 lines read")
        assert [step["step"] for step in steps] == ["backfill", "features", "outcomes", "retrain", "compact"]
        assert stream.poll() is None
        stream.send_signal(signal.SIGTERM)
        told, said = stream.communicate(timeout=120)
        assert (stream.returncode, NOISE.search(said)) == (0, None), said
        assert "lines read" in told
        assert {json.loads(line)["job"] for line in said.splitlines()} == {"stream"}
        ran_here("stream", "--home", home, "--available-now")
    finally:
        ran("broker", "stop", "--home", home)

    assert total(home, "read") == lines_in(*days) == total(home, "accepted + rejected + skipped")
    assert one(home, "select sum(sessions)::bigint from load_windows") == total(home, "accepted")
    key = "server_ip, issued_hour, horizon_hours, revision"
    assert one(home, f"select count(*) - count(distinct ({key})) from forecasts") == 0
    assert one(home, f"select count(*) - count(distinct ({key}, outcome_revision)) from forecast_outcomes") == 0
    assert one(home, "select count(*) > 0 from forecast_outcomes") is True

    facts = {row["fact"]: row["value"] for row in json.loads(ran("status", "--home", home, "--format", "json"))}
    assert facts["live_lines_read"] == str(lines_in(days[-1]))
    server = one(home, "select min(server_ip) from forecasts")
    rows = json.loads(ran("forecasts", "--server", server, "--home", home, "--format", "json"))
    assert len(rows) == 48
    assert {row["server_ip"] for row in rows} == {server}


def one_line(said: str, part: str) -> bool:
    """Whether the last line of what a command said is an error that holds a part, and no stack trace is there."""
    return "Traceback" not in said and part in said.strip().splitlines()[-1]
