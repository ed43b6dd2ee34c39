"""Where compiled code is kept between processes."""

from pathlib import Path

import pytest
from numba import config

from serverload.steps.event_kernel.compiled import CodeFolder


def nothing() -> None:
    """Stands for an entry point."""


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_code_of_an_unpacked_package_is_kept_beside_it(tmp_path):
    source = tmp_path / "scan.py"
    source.touch()
    assert CodeFolder.from_function(nothing, str(source)).get_cache_path() == str(tmp_path / "__pycache__")


def test_code_out_of_a_wheel_is_kept_in_the_users_cache_by_the_packages_stamp(tmp_path, user_cache):
    folder = CodeFolder.from_function(nothing, str(tmp_path / "serverload.whl" / "scan.py"))
    assert folder.get_cache_path() == str(user_cache / "serverload" / folder.get_source_stamp())
    assert Path(folder.get_cache_path()).is_dir()


def test_a_chosen_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "chosen"))
    folder = CodeFolder.from_function(nothing, __file__)
    assert Path(folder.get_cache_path()).parent == tmp_path / "chosen" / "serverload"


def test_without_any_folder_that_can_be_written_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    assert CodeFolder.from_function(nothing, str(tmp_path / "serverload.whl" / "scan.py")) is None
