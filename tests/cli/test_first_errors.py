"""What a newcomer gets wrong first: one clear line on stderr, nothing on stdout, 1 handled, 2 usage."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Ran

Run = Callable[..., Ran]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ("backfill nowhere", 1, "nowhere: no files there; give folders, globs or files"),
        ("backfill empty", 1, "empty: no files there"),
        ("backfill csv --home file", 1, "file: is a file, not a folder; choose another --home"),
        ("backfill csv --home file/below", 1, "file/below: cannot be made: Not a directory; choose another --home"),
        ("status --home file", 1, "file: is a file, not a folder; choose another --home"),
        ("backfill csv --config nope", 1, "--config: no profile or file 'nope'; use one of azure, base"),
        ("sql select", 1, "run `serverload backfill PATH` first"),
        ("forecasts --server 10.0.0.1", 1, "run `serverload backfill PATH` first"),
        ("forecasts --reasons", 1, "--reasons: tells the reasons of one server's forecasts; add --server"),
        ("forecasts --at yesterday", 1, "--at: 'yesterday' is not a time; write it as 2016-06-01T12:00"),
        ("runs --format xml", 1, "--format: 'xml' is none of table, csv, json"),
        ("train --format xml", 1, "--format: 'xml' is none of table, csv, json"),
        ("train --range 2016-13-01:", 1, "--range: '2016-13-01:' is no range; full, one-month, or FROM:TO as"),
        ("train --feature-set half", 1, "feature_set"),
        ("train --trials 3", 2, "--trials and --minutes belong to --tune"),
        ("quality --by server", 1, "--by: 'server' is none of horizon, group, day, class or model"),
        ("plan --by colour", 1, "--by: 'colour' is none of type, file"),
        ("plan --replay", 1, "run `serverload backfill PATH` first"),
        ("quality", 1, "run `serverload backfill PATH` first"),
        ("drift", 1, "there is no champion; run `serverload train`"),
        ("stream", 1, "no broker is running; run `serverload broker start` or set [stream] bootstrap"),
        ("replay csv", 1, "no broker is running; run `serverload broker start` or set [stream] bootstrap"),
        ("replay csv --speed 0", 1, "--speed: expected more than 0, got 0; --max sends as fast as it goes"),
        ("generate --out x --noise loud", 1, "--noise: 'loud' is none of low, medium, high"),
        ("forecast", 2, "see `"),
        ("forecasts --hom x", 2, "--home"),
        ("broker start --port 99999", 2, "--port"),
        ("sql", 2, "query"),
    ],
)
def test_a_mistake_is_told_in_one_line(run: Run, tmp_path: Path, arguments: str, code: int, line: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "day.csv").write_text("2016-02-27 10:00:00,,1,5,1,1,3,1,1,1,1,1,1,70.5,10.9.9.9,10.8.8.8\n")

    ran = run(*arguments.split())

    assert (ran.code, ran.out) == (code, "")
    assert line in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("command", ["backfill", "demo", "broker"])
def test_a_wrong_java_is_told_before_any_work(run: Run, tmp_path: Path, command: str) -> None:
    java = tmp_path / "old" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    (tmp_path / "day.csv").write_text("x\n")
    given = {"backfill": ["backfill", "day.csv"], "demo": ["demo"], "broker": ["broker", "start", "--port", "0"]}

    ran = run(*given[command], JAVA_HOME=str(tmp_path / "old"))

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == (
        f"serverload: Java 11 found at {java}; serverload needs Java 17 or 21: install openjdk-17-jdk or set JAVA_HOME"
    )
    assert not (tmp_path / "demo-home").exists()


def test_a_port_in_use_is_told_with_the_way_out(run: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = run("broker", "start", "--port", str(port))

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == (
        f"serverload: port {port} on 127.0.0.1 is in use; choose another with `--port N`, or `--port 0` for a free one"
    )


def test_nothing_recorded_yet_is_told_beside_empty_data(run: Run) -> None:
    ran = run("runs", "--format", "csv")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("no runs yet in ")


def test_no_arguments_show_the_help(run: Run) -> None:
    ran = run()

    assert (ran.code, ran.err) == (2, "")
    assert "backfill" in ran.out
