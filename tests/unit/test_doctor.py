"""The doctor tells what it found and what to do, for each part of the machine, and never gives up half way."""

from __future__ import annotations

import socket
import sys
import tomllib
from pathlib import Path

import pytest

from serverload.store.doctor import PINS, Check, checks

ROOT = Path(__file__).parents[2]


def report(home: Path | str, port: int = 0) -> dict[str, Check]:
    return {check.name: check for check in checks(str(home), port)}


def test_the_report_has_the_same_lines_whatever_is_wrong(tmp_path, monkeypatch):
    expected = [
        *("python", "java", "packages", "spark home", "spark jars", "broker jars", "home", "disk", "temporary files"),
        *("memory", "broker", "broker port", "clock", "container engine"),
    ]
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("SERVERLOAD_JARS", "/nowhere")
    monkeypatch.setenv("SPARK_HOME", "/nowhere")
    assert [check.name for check in checks(str(tmp_path))] == expected


def test_every_refusal_comes_with_advice_and_every_line_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("SERVERLOAD_JARS", "/nowhere")
    for check in checks(str(tmp_path)):
        assert check.ok == (not check.advice)
        assert "\n" not in check.found + check.advice


def test_a_missing_java_is_told_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    assert report(tmp_path)["java"] == Check(
        name="java",
        ok=False,
        found="JAVA_HOME is /nowhere, which has no bin/java",
        advice="serverload needs Java 17 or 21: install openjdk-17-jdk or set JAVA_HOME",
    )


def test_missing_jars_are_told_and_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVERLOAD_JARS", str(tmp_path / "jars"))
    line = report(tmp_path)["spark jars"]
    assert (line.ok, line.advice) == (False, f"run `{sys.executable} -m serverload.store.jars` with the network there")
    assert line.found.endswith("commons-pool2-2.13.1.jar is missing")
    assert not (tmp_path / "jars").exists()


def test_a_foreign_spark_home_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARK_HOME", "/opt/spark-3.5")
    assert report(tmp_path)["spark home"] == Check(
        "spark home", False, "/opt/spark-3.5", "unset SPARK_HOME, or point it to Spark 4.2.0 with Scala 2.13"
    )


def test_a_port_in_use_is_told_with_the_way_out(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = report(tmp_path, port)["broker port"]
    assert (line.ok, line.found) == (False, f"port {port} on 127.0.0.1 is in use")
    assert line.advice == "choose another with `--port N`, or `--port 0` for a free one"


def test_a_home_under_a_file_is_looked_for_at_the_nearest_folder_and_nothing_is_made(tmp_path):
    line = report(tmp_path / "new" / "home")["home"]
    assert (line.ok, list(tmp_path.iterdir())) == (True, [])


def test_a_home_that_cannot_be_written_is_told():
    line = report("/proc/serverload")["home"]
    assert line.ok is False
    assert line.advice == "choose another with --home, or mend its permissions"


@pytest.mark.parametrize("home", ["abfss://data@account.dfs.core.windows.net/home", "hdfs://name/home"])
def test_a_home_in_the_cloud_is_not_asked_for_local_things(home):
    lines = report(home)
    assert lines["home"].ok
    assert lines["disk"].ok
    assert lines["broker"].ok


def test_the_pins_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, version in PINS.items():
        assert f"{name}=={version}" in project["dependencies"]
