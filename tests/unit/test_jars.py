"""The jars: only files with the recorded sha256 are used, whole or not at all, and offline once complete.

Instead of the network there is a `java` that puts the files of a folder where Ivy would put its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serverload.contracts.errors import PlatformError
from serverload.store import jars

GOOD = {"a-1.0.jar": b"alpha", "b-2.0.jar": b"beta"}


@pytest.fixture
def lock_list(tmp_path):
    """A lock that knows two jars for Spark and one for the broker."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}  spark\n" for name, content in GOOD.items()]
    lines.append(f"{hashlib.sha256(b'gamma').hexdigest()}  c-3.0.jar  broker\n")
    path = tmp_path / "jars.sha256"
    path.write_text("".join(lines))
    return path


@pytest.fixture
def resolver(tmp_path, monkeypatch):
    """Return a function that makes `java` resolve to the given files, and notes each of its runs."""

    def serve(content: dict[str, bytes], *, complaint: str = "", exit_code: int = 0, seconds: float = 0) -> Path:
        source, runs = tmp_path / "source", tmp_path / "runs"
        source.mkdir(exist_ok=True)
        for name, data in content.items():
            (source / name).write_bytes(data)
        java = tmp_path / "jdk" / "bin" / "java"
        java.parent.mkdir(parents=True, exist_ok=True)
        java.write_text(f"""#!/bin/sh
if [ "$1" = -version ]; then echo 'openjdk version "17.0.15"' >&2; exit 0; fi
echo "$@" >> '{runs}'
sleep {seconds}
{f"echo '{complaint}'" if complaint else f"mkdir resolved && cp '{source}'/* resolved/"}
exit {exit_code}
""")
        java.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
        return runs

    return serve


def refusal(root: Path, lock_list: Path) -> str:
    with pytest.raises(PlatformError) as refused:
        jars.fetch("spark", root=root, lock_list=lock_list)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_recorded_jars_arrive_and_what_is_not_recorded_stays_out(tmp_path, lock_list, resolver):
    resolver({**GOOD, "stray-9.jar": b"not in the lock"})
    fetched = jars.fetch("spark", root=tmp_path / "cache", lock_list=lock_list)
    assert fetched == [tmp_path / "cache/spark/a-1.0.jar", tmp_path / "cache/spark/b-2.0.jar"]
    assert sorted(path.name for path in (tmp_path / "cache/spark").iterdir()) == ["a-1.0.jar", "b-2.0.jar"]


def test_a_complete_cache_needs_neither_java_nor_network(tmp_path, lock_list, resolver, monkeypatch):
    runs = resolver(GOOD)
    first = jars.fetch("spark", root=tmp_path / "cache", lock_list=lock_list)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    assert jars.fetch("spark", root=tmp_path / "cache", lock_list=lock_list) == first
    assert len(runs.read_text().splitlines()) == 1


def test_an_altered_download_is_refused_and_nothing_of_it_stays(tmp_path, lock_list, resolver):
    resolver({**GOOD, "b-2.0.jar": b"beta, altered"})
    assert refusal(tmp_path / "cache", lock_list) == (
        f"the jars for spark are not fetched: b-2.0.jar has another sha256 than the recorded one; {jars.GET_JARS}"
    )
    assert not (tmp_path / "cache/spark").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".spark.lock"]


def test_a_jar_that_did_not_come_is_named(tmp_path, lock_list, resolver):
    resolver({"a-1.0.jar": b"alpha"})
    assert "not fetched: b-2.0.jar is missing;" in refusal(tmp_path / "cache", lock_list)


def test_a_jar_altered_in_the_cache_is_fetched_anew(tmp_path, lock_list, resolver):
    resolver(GOOD)
    fetched = jars.fetch("spark", root=tmp_path / "cache", lock_list=lock_list)
    fetched[1].write_bytes(b"altered on disk")
    jars.fetch("spark", root=tmp_path / "cache", lock_list=lock_list)
    assert fetched[1].read_bytes() == b"beta"


@pytest.mark.parametrize(
    ("complaint", "exit_code", "told"),
    [
        ("  Server access error at url x (java.net.ConnectException)", 0, "Server access error at url x"),
        (":: io.delta#delta-spark;4.4.0: not found", 1, "io.delta#delta-spark;4.4.0: not found"),
    ],
)
def test_a_resolver_without_network_is_one_line(tmp_path, lock_list, resolver, complaint, exit_code, told):
    resolver({}, complaint=complaint, exit_code=exit_code)
    line = refusal(tmp_path / "cache", lock_list)
    assert line.startswith(f"the jars for spark are not fetched: {told}")
    assert line.endswith(f"; {jars.GET_JARS}")


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, lock_list):
    (tmp_path / "file").write_text("in the way")
    assert refusal(tmp_path / "file", lock_list) == (
        f"the jars for spark are not fetched: File exists ({tmp_path / 'file'}); "
        "set SERVERLOAD_JARS to a folder that can be written"
    )


def test_two_processes_at_once_fetch_once_and_both_get_the_jars(tmp_path, lock_list, resolver):
    runs = resolver(GOOD, seconds=1)
    script = (
        "import sys; from pathlib import Path; from serverload.store.jars import fetch;"
        "print(len(fetch('spark', root=Path(sys.argv[1]), lock_list=Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cache"), str(lock_list)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == ["2", "2"]
    assert len(runs.read_text().splitlines()) == 1


def test_a_mirror_is_named_by_its_ivy_settings_file(tmp_path, lock_list, resolver, monkeypatch):
    runs = resolver(GOOD)
    monkeypatch.setenv("SERVERLOAD_IVY_SETTINGS", str(tmp_path / "mirror.xml"))
    jars.fetch("spark", root=tmp_path / "cache", lock_list=lock_list)
    assert f"-settings {tmp_path / 'mirror.xml'}" in runs.read_text()


@pytest.mark.parametrize(
    ("env", "root"),
    [
        ({"SERVERLOAD_JARS": "/image/jars", "XDG_CACHE_HOME": "/c"}, "/image/jars"),
        ({"XDG_CACHE_HOME": "/c"}, f"/c/serverload/jars/{jars.VERSION_SET}"),
        ({}, f"{Path.home()}/.cache/serverload/jars/{jars.VERSION_SET}"),
    ],
)
def test_the_cache_is_where_the_environment_says(env, root):
    assert str(jars.jars_root(env)) == root


def test_the_lock_holds_every_root_in_the_version_that_is_asked_for():
    for kind, roots in jars.ROOTS.items():
        assert {f"{name}-{version}.jar" for _, name, version in roots} <= set(jars.recorded(kind))


def test_the_lock_holds_no_jar_for_spark_that_pyspark_ships_in_any_version():
    shipped = Path(str(importlib.util.find_spec("pyspark").submodule_search_locations[0])) / "jars"
    without_version = re.compile(r"-\d[^-]*(-\d+)?\.jar$")
    ours = {without_version.sub("", name) for name in jars.recorded("spark")}
    theirs = {without_version.sub("", path.name) for path in shipped.iterdir()}
    assert "scala-library" in theirs
    assert not ours & theirs
