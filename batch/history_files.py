"""The files of the history, and which of them are new."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serverload.contracts.errors import InputError
from serverload.store.event_files import event_files, is_local_address
from serverload.store.file_openers import LOCAL_FILES, FileOpener
from serverload.store.store_files import store_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, order=True)
class HistoryFile:
    """A file of the history as it stands: absolute address, size in bytes, and what tells a change."""

    uri: str
    size: int
    etag: str


def history_files(
    paths: Sequence[str], opener: FileOpener = LOCAL_FILES, spark: "SparkSession | None" = None
) -> list[HistoryFile]:
    """Find the files behind folders, globs and single files by the rule of `event_files`, in order of address.

    Without Spark, paths that only Hadoop reaches are passed over.
    """
    local = [path for path in paths if is_local_address(path)]
    found = {HistoryFile(f"file://{file.path}", file.size, str(file.modified_ns)) for file in event_files(local)}
    for path in paths:
        if not is_local_address(path):
            found |= {HistoryFile(file.uri, file.size, file.etag) for file in store_files(path, opener, spark)}
    return sorted(found)


def new_files(files: Iterable[HistoryFile], done: dict[str, HistoryFile]) -> list[HistoryFile]:
    """Drop the files that are done. Raises InputError for one that has changed since."""
    new = []
    for file in files:
        before = done.get(file.uri)
        if before is None:
            new.append(file)
        elif before != file:
            raise InputError(
                f"changed since it was ingested (then {before.size} bytes, now {file.size})",
                where=file.uri,
                hint="put new sessions into a new file; an ingested file must stay as it was",
            )
    return new


def check_unchanged(
    files: Sequence[HistoryFile], opener: FileOpener = LOCAL_FILES, spark: "SparkSession | None" = None
) -> None:
    """Raise InputError for a file that is gone, or is not what it was when it was listed."""
    now = history_files([file.uri for file in files], opener, spark)
    new_files(now, {file.uri: file for file in files})
