"""Which files a path means: the same for the history and for the replay."""

from pathlib import Path

import pytest

from batch.history_files import history_files
from producers.input_files import input_files
from serverload.contracts.errors import InputError
from serverload.store.event_files import event_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.csv",
        "a/x.csv.gz",
        "a/y.gz",
        "a/notes.txt",
        "a/._x.csv",
        "_temporary/0/part.csv",
        ".trash/old.csv",
        "[2016]/z.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x\n")
    return tmp_path


def names(root: Path, *paths: str) -> list[str]:
    return [str(file.path.relative_to(root)) for file in event_files([f"{root}/{path}" for path in paths])]


def test_a_folder_gives_its_csv_and_gz_files_but_not_what_is_hidden_or_half_written(folder: Path) -> None:
    assert names(folder, "") == ["[2016]/z.csv", "a/x.csv.gz", "a/y.gz", "b.csv"]


def test_a_glob_gives_files_with_the_endings_and_searches_the_folders_it_matches(folder: Path) -> None:
    assert names(folder, "*") == names(folder, "**/*") == names(folder, "")
    assert names(folder, "a/*.csv*") == ["a/x.csv.gz"]
    assert names(folder, "_temp*/0/*.csv") == ["_temporary/0/part.csv"]


def test_a_named_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    assert names(folder, "a/notes.txt", "a/._x.csv", "_temporary/0/part.csv") == [
        "_temporary/0/part.csv",
        "a/._x.csv",
        "a/notes.txt",
    ]


def test_a_folder_with_brackets_in_its_name_is_no_pattern(folder: Path) -> None:
    assert names(folder, "[2016]") == ["[2016]/z.csv"]


def test_a_file_comes_once_whatever_leads_to_it(folder: Path) -> None:
    (folder / "again.csv").symlink_to(folder / "b.csv")
    (folder / "linked").symlink_to(folder / "a", target_is_directory=True)
    (folder / "a" / "back").symlink_to(folder, target_is_directory=True)
    assert names(folder, "", "b.csv", "*", "linked") == ["[2016]/z.csv", "a/x.csv.gz", "a/y.gz", "b.csv"]


def test_history_and_replay_take_the_same_files(folder: Path) -> None:
    for path in (f"{folder}", f"{folder}/*", f"{folder}/a/notes.txt", f"file://{folder}/b.csv"):
        history = [file.uri.removeprefix("file://") for file in history_files([path])]
        assert sorted(history) == sorted(str(file.path) for file in input_files([path]))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nowhere", "nowhere: no files there; give folders, globs or files (.csv, .csv.gz, .gz)"),
        ("a/*.parquet", "a/*.parquet: no files there; give folders, globs or files (.csv, .csv.gz, .gz)"),
        ("lost", "lost/gone.csv: cannot be read: No such file or directory"),
    ],
)
def test_a_path_that_gives_nothing_is_told_with_the_way_out(folder: Path, path: str, line: str) -> None:
    (folder / "lost").mkdir()
    (folder / "lost" / "gone.csv").symlink_to(folder / "never.csv")
    with pytest.raises(InputError) as refused:
        event_files([f"{folder}/{path}"])
    assert str(refused.value) == f"{folder}/{line}"


def test_an_address_in_the_cloud_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"^s3a://bucket/history: only local files can be read; copy or mount them"):
        event_files(["s3a://bucket/history"])
