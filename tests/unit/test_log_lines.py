"""Lines on stderr by `[logs] format`: text as it is, or each one JSON object."""

import io
import json
import logging
import sys
from contextlib import redirect_stderr
from datetime import datetime

import pytest

from serverload.cli.log_lines import JsonLines, OurWords, tell, write_lines_as


@pytest.fixture(autouse=True)
def arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["serverload", "daily", "--home", "x"])


def objects(stderr: io.StringIO) -> list[tuple[str, str, str]]:
    """Level, job and words of each line."""
    lines = [json.loads(line) for line in stderr.getvalue().splitlines()]
    assert all(datetime.fromisoformat(line["ts"]).tzinfo and line["process"] for line in lines)
    return [(line["level"], line["job"], line["msg"]) for line in lines]


def test_text_stays_as_it_is() -> None:
    with redirect_stderr(io.StringIO()) as stderr:
        write_lines_as("text")
        print("start Spark", file=sys.stderr)
        tell("ERROR", "no broker is running")
    assert stderr.getvalue() == "start Spark\nserverload: no broker is running\n"


def test_whatever_is_printed_is_an_object_a_line() -> None:
    with redirect_stderr(io.StringIO()) as stderr:
        write_lines_as("json")
        write_lines_as("json")  # the settings are read more than once
        print("start", "Spark", file=sys.stderr)
        print("two\n\nlines of “others”", file=sys.stderr)
        print("begun ", end="", file=sys.stderr)
        print("and ended", file=sys.stderr)
        tell("ERROR", "no broker is running")
        assert isinstance(sys.stderr, JsonLines)
        assert not sys.stderr.isatty()  # a bar would be no line
    told = ["start Spark", "two", "lines of “others”", "begun and ended"]
    assert objects(stderr) == [*(("INFO", "daily", line) for line in told), ("ERROR", "daily", "no broker is running")]


def test_what_our_modules_log_has_its_level() -> None:
    log = logging.Logger("streaming")
    log.addHandler(OurWords())
    with redirect_stderr(io.StringIO()) as stderr:
        write_lines_as("json")
        log.warning("no metrics, port %s", 7)
    assert objects(stderr) == [("WARN", "daily", "no metrics, port 7")]
