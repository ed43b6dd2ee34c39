"""The doctor says of each job whether it can be run here, and if not, which command mends that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deploy_files import commands

from serverload.contracts.errors import ModelError
from serverload.contracts.settings import load_settings
from serverload.store.doctor import Check
from serverload.store.doctor_jobs import JOBS, job_checks

CHECKED = sorted({name for job in JOBS for name in job.needs})


def told(
    home: Path | str, *, unwell: dict[str, str] | None = None, champion: bool = False, **flags: Any
) -> dict[str, Check]:
    """The lines by job, on a machine where all is well but these checks, given with their advice."""
    machine = [Check(name, name not in (unwell or {}), "", (unwell or {}).get(name, "")) for name in CHECKED]
    settings = load_settings(flags={"home": str(home), **flags})
    return {line.name.removeprefix("job "): line for line in job_checks(machine, settings, lambda: champion)}


def test_without_java_jobs_of_spark_and_the_broker_lack_it_and_all_others_do_not(tmp_path: Path) -> None:
    lines = told(tmp_path, unwell={"java": "install openjdk-17-jdk", "spark jars": "get the jars"})
    assert lines["train, backtest, retrain"] == Check(
        "job train, backtest, retrain", False, "lacks java, spark jars", "install openjdk-17-jdk; get the jars"
    )
    unfit = {name for name, line in lines.items() if not line.ok}
    assert unfit == {
        *("backfill, daily", "backfill of s3://, abfss://", "train, backtest, retrain", "broker", "stream"),
        "compact, verify",
    }


def test_in_a_new_home_jobs_say_what_comes_before_them(tmp_path: Path) -> None:
    lines = told(tmp_path)
    assert all(line.ok for line in lines.values())
    assert lines["backfill, daily"].found == "fit"
    assert (lines["train, backtest, retrain"].found, lines["train, backtest, retrain"].advice) == (
        "waits: no history in this home",
        "serverload backfill PATH...",
    )
    assert lines["stream"].advice == "serverload broker start, or set [stream] bootstrap"
    assert lines["serve"].advice == "serverload train"
    assert lines["replay to Event Hubs"].advice.startswith("set SERVERLOAD_EVENTHUBS__CONNECTION_STRING")


def test_what_has_been_done_is_waited_for_no_more(tmp_path: Path) -> None:
    (tmp_path / "tables" / "features" / "_delta_log").mkdir(parents=True)
    hub = {"connection_string": "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k"}
    lines = told(tmp_path, champion=True, eventhubs=hub)
    assert {name: line.advice for name, line in lines.items() if line.advice} == {}
    assert "SharedAccessKey" not in str(lines)


def test_a_registry_that_cannot_be_asked_is_no_end_of_the_report(tmp_path: Path) -> None:
    def champion() -> bool:
        raise ModelError("does not answer")

    settings = load_settings(flags={"home": str(tmp_path)})
    lines = job_checks([Check(name, True, "") for name in CHECKED], settings, champion)
    assert [line.advice for line in lines if line.name == "job serve"] == ["serverload train"]


@pytest.mark.parametrize(("flags", "missing"), [({"namespace": "a.servicebus.windows.net"}, "azure-identity")])
def test_an_extra_that_is_not_installed_is_told_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, str], missing: str
) -> None:
    monkeypatch.setattr("serverload.store.doctor_jobs.find_spec", lambda _name: None)
    lines = told(tmp_path, eventhubs=flags)
    assert (lines["replay to Event Hubs"].found, lines["replay to Event Hubs"].advice) == (
        f"waits: {missing} is not installed",
        "pip install 'serverload[cloud]'",
    )
    assert lines["backfill of s3://, abfss://"].advice == "pip install 'serverload[cloud]'"


def test_every_job_is_a_command_and_every_check_is_one_of_the_doctor(tmp_path: Path) -> None:
    named = {word for job in JOBS for word in job.name.partition(" of ")[0].partition(" to ")[0].split(", ")}
    assert named <= commands()
    done = subprocess.run(
        [sys.executable, "-m", "serverload", "doctor", "--home", str(tmp_path), "--format", "csv"],
        capture_output=True,
        text=True,
    )
    lines = [line.split(",")[0] for line in done.stdout.splitlines()]
    assert set(CHECKED) <= set(lines)
    assert sum("job " in line for line in done.stdout.splitlines()) == len(JOBS), done.stdout
