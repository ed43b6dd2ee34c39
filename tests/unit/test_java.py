"""Java is found where Spark's launcher looks, and refused in one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from serverload.contracts.errors import PlatformError
from serverload.store.java import Java, find_java, find_spark_java

NEEDED = "serverload needs Java 17 or 21: install openjdk-17-jdk or set JAVA_HOME"


def java_home(folder: Path, version_line: str, modules: str = "jdk.incubator.vector@17", exit_code: int = 0) -> Path:
    """Write a `bin/java` that answers as a real one: the version on stderr, the modules on stdout."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f"""#!/bin/sh
case "$1" in
  -version) printf '%s\\n' 'Picked up JAVA_TOOL_OPTIONS: -Dx=1' '{version_line}' >&2;;
  --list-modules) printf '%s\\n' java.base@17 {modules};;
esac
exit {exit_code}
"""
    )
    java.chmod(0o755)
    return folder


def refusal(env: dict[str, str]) -> str:
    with pytest.raises(PlatformError) as refused:
        find_spark_java(env)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("line", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19 LTS', 21),
        ('java version "21.0.2" 2024-01-16 LTS', 21),
        ('openjdk version "17-ea" 2021-09-14', 17),
    ],
)
def test_a_supported_java_is_taken(tmp_path, line, major):
    home = java_home(tmp_path, line)
    assert find_spark_java({"JAVA_HOME": str(home)}) == Java(home / "bin" / "java", major)


@pytest.mark.parametrize(
    ("line", "major"),
    [
        ('openjdk version "1.8.0_362"', 8),
        ('openjdk version "11.0.20" 2023-07-18', 11),
        ('openjdk version "18.0.2" 2022-07-19', 18),
        ('openjdk version "22-ea" 2024-03-19', 22),
        ('openjdk version "25.0.1" 2025-10-21 LTS', 25),
    ],
)
def test_older_newer_and_between_are_refused_by_name(tmp_path, line, major):
    home = java_home(tmp_path, line)
    assert refusal({"JAVA_HOME": str(home)}) == f"Java {major} found at {home}/bin/java; {NEEDED}"


def test_java_home_wins_over_path_even_when_it_is_the_worse_one(tmp_path):
    worse = java_home(tmp_path / "eleven", 'openjdk version "11.0.20"')
    better = java_home(tmp_path / "seventeen", 'openjdk version "17.0.15"')
    assert "Java 11 found" in refusal({"JAVA_HOME": str(worse), "PATH": f"{better}/bin"})


def test_without_java_home_the_java_of_path_is_taken(tmp_path):
    home = java_home(tmp_path, 'openjdk version "17.0.15"')
    assert find_java({"PATH": f"/nowhere:{home}/bin:/bin:/usr/bin"}).executable == home / "bin" / "java"


def test_no_java_at_all_says_what_to_install():
    assert refusal({"PATH": "/nowhere"}) == f"no Java found (JAVA_HOME is not set and PATH has no java); {NEEDED}"


def test_a_java_home_without_java_is_named():
    assert refusal({"JAVA_HOME": "/nowhere"}) == f"JAVA_HOME is /nowhere, which has no bin/java; {NEEDED}"


def test_a_java_that_fails_is_named_with_its_exit_code(tmp_path):
    home = java_home(tmp_path, "The operation could not be completed.", exit_code=1)
    assert refusal({"JAVA_HOME": str(home)}) == f"{home}/bin/java -version ended with exit code 1; {NEEDED}"


def test_a_java_that_tells_no_version_is_refused(tmp_path):
    home = java_home(tmp_path, "hello")
    assert refusal({"JAVA_HOME": str(home)}) == f"{home}/bin/java does not tell a Java version; {NEEDED}"


def test_a_file_that_is_no_program_is_refused(tmp_path):
    home = java_home(tmp_path, "")
    (home / "bin" / "java").write_bytes(b"\x00\x01 not a program")
    assert "does not run" in refusal({"JAVA_HOME": str(home)})


def test_a_trimmed_runtime_is_refused_for_spark_and_taken_for_the_broker(tmp_path):
    home = java_home(tmp_path, 'openjdk version "17.0.15"', modules="java.xml@17")
    assert find_java({"JAVA_HOME": str(home)}).major == 17
    assert refusal({"JAVA_HOME": str(home)}) == (
        f"Java 17 at {home}/bin/java is a trimmed runtime without the module jdk.incubator.vector; "
        "Spark cannot start on it: install openjdk-17-jdk or set JAVA_HOME to a full one"
    )
