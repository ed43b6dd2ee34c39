"""The command line as a user of a secured broker runs it: the login in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from secured_broker import SecuredBroker

SOON = 30.0
_NOT_INHERITED = ("SERVERLOAD_H", "SERVERLOAD_D", "SPARK_DRIVER_MEMORY", "PYSPARK_")


def environment(secured: SecuredBroker, way: str, user: str, topic: str = "sessions", **changed: str) -> dict[str, str]:
    """What a shell would have exported."""
    place = {"SERVERLOAD_STREAM__BOOTSTRAP": secured.bootstrap(way.split()[0]), "SERVERLOAD_STREAM__TOPIC": topic}
    login = {f"SERVERLOAD_KAFKA__{key.upper()}": entry for key, entry in (secured.login(way, user) | changed).items()}
    # a session of this process has left its launch settings in the environment
    kept = {key: entry for key, entry in os.environ.items() if not key.startswith(_NOT_INHERITED)}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **place, **login}


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "serverload", *arguments]


def command(arguments: list[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that has to end soon."""
    line = command_line(*arguments)
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=SOON)
