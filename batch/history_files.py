"""The files of the history, and which of them are new."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serverload.contracts.errors import InputError
from serverload.store.event_files import event_files


@dataclass(frozen=True, order=True)
class HistoryFile:
    """A file of the history as it stands: absolute address, size in bytes, and what tells a change."""

    uri: str
    size: int
    etag: str


def history_files(paths: Sequence[str]) -> list[HistoryFile]:
    """Find the files behind folders, globs and single files by the rule of `event_files`, in order of address."""
    found = event_files(paths)
    return sorted(HistoryFile(f"file://{file.path}", file.size, str(file.modified_ns)) for file in found)


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


def check_unchanged(files: Sequence[HistoryFile]) -> None:
    """Raise InputError for a file that is gone, or is not what it was when it was listed."""
    new_files(history_files([file.uri for file in files]), {file.uri: file for file in files})
