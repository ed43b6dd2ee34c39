"""The command as a user runs it: a process of its own, its two streams and its exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Ran

_NOT_INHERITED = ("SERVERLOAD_H", "SERVERLOAD_D", "SPARK_DRIVER_MEMORY", "PYSPARK_")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Run `serverload ARGUMENTS` in an empty folder; keywords are added to the environment."""

    def command(*arguments: str, **environment: str) -> Ran:
        # a session of this process has left its launch settings in the environment
        kept = {key: entry for key, entry in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        done = subprocess.run(
            [sys.executable, "-m", "serverload", *arguments],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return command
