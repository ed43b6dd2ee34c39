"""Jobs as processes: killed and gone on with, stopped by a signal, asked; one fleet of seven days and its eighth."""

import json
import os
import re
import signal
from datetime import date
from pathlib import Path

import pytest
from commands import command, commits, lines_in, one, ran, wait_until
from deltalake import DeltaTable

from producers.synthetic import generate_history
from serverload.store.table_reader import run_sql

DAYS = 8


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Daily files, oldest first."""
    folder = tmp_path_factory.mktemp("sessions")
    return list(generate_history(folder, servers=4, days=DAYS, start=date(2016, 2, 20), seed=3, dirty=0.02).files)


@pytest.fixture(scope="module")
def home(days: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose backfill was killed with -9 between two batches, then run again; trained."""
    home = tmp_path_factory.mktemp("home")
    batch = str(max(file.stat().st_size for file in days) * 4)
    history = [*days[:-1], "--home", home]
    killed = command("backfill", *history, SERVERLOAD_INGEST__BATCH_BYTES=batch)
    wait_until(lambda: commits(home, "ingested_files") >= 2, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert total(home, "read") < lines_in(*days[:-1])
    ran("backfill", *history, SERVERLOAD_INGEST__BATCH_BYTES=batch)
    ran("train", "--home", home)
    return home


def total(home: Path, count: str) -> int:
    return int(run_sql(str(home), f"select coalesce(sum({count}), 0)::bigint as n from ingest_log").to_pylist()[0]["n"])


def test_a_backfill_killed_between_batches_reads_each_line_once(home: Path, days: list[Path]) -> None:
    assert total(home, "read") >= lines_in(*days[:-1])
    history = "select sum(read)::bigint from ingest_log where source = 'history'"
    assert one(home, history) == lines_in(*days[:-1])
    assert one(home, "select count(*) - count(distinct uri) from ingested_files") == 0
    windows = "select sum(sessions)::bigint from load_windows where source = 'history'"
    assert one(home, windows) == one(home, "select sum(accepted)::bigint from ingest_log where source = 'history'")


def test_what_spark_says_is_in_the_home(home: Path) -> None:
    log = (home / "logs" / "spark.log").read_text()
    assert re.match(r"--- \S+Z \S+ backfill, process \d+\n", log)
    assert "incubator modules" in log


def test_a_stream_stopped_by_sigterm_and_drained_later_loses_nothing(home: Path, days: list[Path]) -> None:
    ran("broker", "start", "--home", home, "--port", 0)
    try:
        stream = command("stream", "--home", home)
        wait_until(lambda: commits(home, "forecasts") >= 2, stream)
        second = command("stream", "--home", home)
        ran("replay", days[-1], "--home", home, "--max")
        wait_until(lambda: total(home, "read") > lines_in(*days[:-1]), stream)
        _told, said = second.communicate(timeout=120)
        assert (second.returncode, one_line(said, f"in use by process {stream.pid}")) == (1, True), said
        files = window_files(home)
        daily = command("daily", *days[:-1], "--home", home, "--format", "json", SERVERLOAD_LOGS__FORMAT="json")
        told, said = daily.communicate(timeout=300)
        steps = json.loads(told)
        assert (daily.returncode, {step["result"] for step in steps}) == (0, {"ok"}), (told, said)
        assert steps[0]["what"].startswith(f"0 new files, {DAYS - 1} known; 0 lines read")
        assert {json.loads(line)["job"] for line in said.splitlines()} == {"daily"}
        assert window_files(home) < files
        assert stream.poll() is None
        stream.send_signal(signal.SIGTERM)
        told, said = stream.communicate(timeout=120)
        assert (stream.returncode, "Traceback" in said) == (0, False), said
        assert "lines read" in told
        ran("stream", "--home", home, "--available-now")
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


def window_files(home: Path) -> int:
    return len(DeltaTable(f"{home}/tables/load_windows").file_uris())


def one_line(said: str, part: str) -> bool:
    """Whether the last line of what a command said is an error that holds a part, and no stack trace is there."""
    return "Traceback" not in said and part in said.strip().splitlines()[-1]
