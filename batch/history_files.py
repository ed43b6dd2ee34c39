"""The files of the history: which of them are new, and how those are cut into batches."""

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


def planned_batches(files: Sequence[HistoryFile], batch_bytes: int) -> list[list[HistoryFile]]:
    """Cut files, in order, into batches of whole files: each at most `batch_bytes`, or one larger file."""
    batches: list[list[HistoryFile]] = []
    room = 0
    for file in files:
        if not batches or file.size > room:
            batches.append([])
            room = batch_bytes
        batches[-1].append(file)
        room -= file.size
    return batches
