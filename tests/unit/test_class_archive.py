"""Java's archive of Spark's classes: used where it lies, passed over where it cannot be, and no need."""

import sys
from pathlib import Path

import pytest

from serverload.store.class_archive import archive_options, make_archive


def test_it_is_used_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert archive_options() == ""
    monkeypatch.setattr(Path, "is_file", lambda _path: True)
    option, silence = archive_options().split()
    assert option.startswith(f"-XX:SharedArchiveFile={tmp_path}/share/serverload/classes-")
    assert silence == "-Xlog:cds*=off"


def test_a_path_that_the_launch_would_cut_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", f"{tmp_path}/my environment")
    monkeypatch.setattr(Path, "is_file", lambda _path: True)
    assert archive_options() == ""


def test_another_java_has_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _path: True)
    ours = archive_options()
    other = tmp_path / "bin" / "java"
    other.parent.mkdir()
    other.write_text("#!/bin/sh")
    other.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert archive_options() not in ("", ours)


def test_where_it_cannot_be_made_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-XX:+NoSuchOption")
    make_archive()
    told = capsys.readouterr().err
    assert told.startswith("serverload: no archive of Spark's classes (")
    assert told.count("\n") == 1
    assert list(tmp_path.rglob("*.jsa")) == []
