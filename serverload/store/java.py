"""The machine's Java: found, run once for its version, and refused in one line when it cannot serve.

It imports no other package, so that `make` can run it before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serverload.contracts.errors import PlatformError

SUPPORTED_JAVA = (17, 21)
VECTOR_MODULE = "jdk.incubator.vector"
NEEDED = "serverload needs Java 17 or 21: install openjdk-17-jdk or set JAVA_HOME"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)[^"]*"')
_ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Java:
    """A Java that runs: its executable and the major version it told."""

    executable: Path
    major: int


def find_java(env: Mapping[str, str] | None = None) -> Java:
    """Return the Java of JAVA_HOME, else of PATH: the one that Spark's launcher takes too.

    Raises PlatformError, one line with what to install or set, when there is none or its version is not 17 or 21.
    """
    executable = java_executable(env)
    found = _VERSION.search(_answer(executable, "-version"))
    if found is None:
        raise PlatformError(f"{executable} does not tell a Java version", hint=NEEDED)
    major = int(found.group(1))
    if major not in SUPPORTED_JAVA:
        raise PlatformError(f"Java {major} found at {executable}", hint=NEEDED)
    return Java(executable, major)


def find_spark_java(env: Mapping[str, str] | None = None) -> Java:
    """Return what `find_java` does, but refuse a trimmed runtime without the module that Spark's launcher names."""
    java = find_java(env)
    if VECTOR_MODULE not in _answer(java.executable, "--list-modules"):
        raise PlatformError(
            f"Java {java.major} at {java.executable} is a trimmed runtime without the module {VECTOR_MODULE}",
            hint=f"Spark cannot start on it: install openjdk-{java.major}-jdk or set JAVA_HOME to a full one",
        )
    return java


def java_executable(env: Mapping[str, str] | None = None) -> Path:
    """Return the path of `java`, not run yet; JAVA_HOME is believed, not skipped, because Spark believes it too.

    Raises PlatformError, one line, when there is none.
    """
    env = os.environ if env is None else env
    if home := env.get("JAVA_HOME"):
        java = Path(home) / "bin" / "java"
        if not os.access(java, os.X_OK):
            raise PlatformError(f"JAVA_HOME is {home}, which has no bin/java", hint=NEEDED)
        return java
    if on_path := shutil.which("java", path=env.get("PATH", "")):
        return Path(on_path)
    raise PlatformError("no Java found (JAVA_HOME is not set and PATH has no java)", hint=NEEDED)


def _answer(executable: Path, question: str) -> str:
    """Return all that Java prints, on either stream (`-version` answers on stderr)."""
    try:
        done = subprocess.run(  # bounded: a broken wrapper script must not hang the command
            [executable, question], capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"{executable} {question} does not run ({error})", hint=NEEDED) from error
    if done.returncode != 0:
        raise PlatformError(f"{executable} {question} ended with exit code {done.returncode}", hint=NEEDED)
    return done.stdout + done.stderr


def main() -> int:
    """Say nothing if Spark can run here, else the one line (`make setup`, before it installs)."""
    try:
        find_spark_java()
    except PlatformError as error:
        print(f"serverload: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
