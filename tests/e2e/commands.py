"""The installed command, run as users run it: in processes of its own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trained_home import SMALL_MODEL
from typer.testing import CliRunner

from serverload.cli import app
from serverload.store.table_reader import run_sql

SMALL = {
    **{f"SERVERLOAD_MODEL__{name.upper()}": str(entry) for name, entry in SMALL_MODEL.items()},
    "SERVERLOAD_STREAM__TRIGGER_SECONDS": "1",
    "SERVERLOAD_STREAM__FORECAST_INTERVAL_SECONDS": "1",
    # a few hundred rows a query: compiled code for it costs more than it saves
    "SERVERLOAD_SPARK__SETTINGS": (
        '{"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}'
    ),
}
NOISE = re.compile(r"WARN|Traceback|incubator|log level|\bat org\.apache")
"""What Spark and libraries would say on stderr."""

NOT_INHERITED = ("SPARK_DRIVER_MEMORY", "PYSPARK_")


def command(*arguments: object, **settings: str) -> subprocess.Popen[str]:
    """Start `serverload` with the arguments and, as environment variables, settings."""
    # a session of this process has left its launch settings in the environment
    kept = {key: entry for key, entry in os.environ.items() if not key.startswith(NOT_INHERITED)}
    return subprocess.Popen(
        [sys.executable, "-m", "serverload", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**kept, **SMALL, **settings},
        start_new_session=True,
    )


def ran(*arguments: object, exit_code: int = 0, **settings: str) -> str:
    """Run a command to its end; its standard output. Fails with all it said where that or the exit code is wrong."""
    process = command(*arguments, **settings)
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, NOISE.search(errors)) == (exit_code, None), f"{arguments}\n{output}\n{errors}"
    return output


def ran_here(*arguments: object) -> str:
    """Run a command to its end in this process, whose Spark session it joins; its standard output."""
    settings = {name: entry for name, entry in SMALL.items() if "SPARK" not in name}
    done = CliRunner().invoke(app, [*map(str, arguments)], env=settings)
    assert done.exception is None, f"{arguments}\n{done.output}\n{done.exception!r}"
    return done.stdout


def wait_until(seen: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 180.0) -> None:
    """Wait until something is seen while a process runs."""
    deadline = time.monotonic() + seconds
    while not seen():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"not seen; exit {process.returncode}: {process.communicate()}")
        time.sleep(0.05)


def commits(home: Path, table: str) -> int:
    """Commits of a table so far, the one that made it included."""
    return len(list((home / "tables" / table / "_delta_log").glob("*.json")))


def lines_in(*files: Path) -> int:
    """Lines of CSV files that are not blank, as the input rules say."""
    return sum(1 for file in files for line in file.read_bytes().split(b"\n") if line.strip(b" \t\n\v\f\r"))


def one(home: Path, query: str) -> object:
    """The one value that a query of a home's tables gives."""
    (row,) = run_sql(str(home), query).to_pylist()
    return next(iter(row.values()))
