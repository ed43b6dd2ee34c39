"""`make setup` looks at the machine before it installs anything: one line at once, not minutes later."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a fresh clone as is needed up to the first pip; every Python has only its own library there."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "serverload", tmp_path / "serverload", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def without_outer_make() -> dict[str, str]:
    """Our environment without what a make that runs these tests has put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def refusal(clone: Path, target: str, python: str, **environment: str) -> str:
    """The first line on stderr; make adds one of its own. Nothing may have been made."""
    done = subprocess.run(
        ["make", "--no-print-directory", target, f"PYTHON={python}"],
        cwd=clone,
        env={**without_outer_make(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert not (clone / ".venv").exists()
    line, of_make = done.stderr.splitlines()
    assert of_make.startswith("make: ***")
    return line


@pytest.mark.parametrize("target", ["setup", "demo"])
def test_a_wrong_java_is_told_before_anything_is_installed(clone: Path, target: str) -> None:
    java = program(clone / "jdk" / "bin" / "java", "echo 'openjdk version \"1.8.0_392\"' >&2")
    bare = program(clone / "bare-python", f'exec {sys.executable} -S "$@"')  # without site-packages, as in a new clone
    line = refusal(clone, target, str(bare), JAVA_HOME=str(clone / "jdk"))
    needed = "serverload needs Java 17 or 21: install openjdk-17-jdk or set JAVA_HOME"
    assert line == f"serverload: Java 8 found at {java}; {needed}"


def test_an_old_python_is_told_with_what_was_found(clone: Path) -> None:
    old = program(clone / "old-python", 'test "$1" = -V && echo "Python 3.9.18" || exit 1')
    line = refusal(clone, "setup", str(old))
    assert line.startswith(f"serverload: Python 3.11 or newer with venv and pip is needed, {old} is Python 3.9.18; set")


def test_a_missing_python_is_told(clone: Path) -> None:
    line = refusal(clone, "setup", "python-of-nobody")
    assert "python-of-nobody is not found; set PYTHON=python3.11" in line
