"""The files of the history: finding them, and cutting the new ones into batches."""

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serverload.contracts.errors import InputError

_SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True, order=True)
class HistoryFile:
    """A file of the history as it stands: absolute address, size in bytes, and what tells a change."""

    uri: str
    size: int
    etag: str


def history_files(paths: Sequence[str]) -> list[HistoryFile]:
    """Find the files behind folders (searched for .csv and .csv.gz), globs and single files, each once, in order.

    Symbolic links are followed to the file they mean, so that no path reads a file twice.
    Raises InputError for a path behind which there is no file.
    """
    found: dict[str, HistoryFile] = {}
    for path in paths:
        behind = list(_behind(path))
        if not behind:
            raise InputError("no CSV files there", where=path, hint="give a folder, a glob or files (.csv, .csv.gz)")
        for file in behind:
            known = _history_file(file)
            found[known.uri] = known
    return sorted(found.values())


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


def _behind(path: str) -> Iterable[Path]:
    place = Path(path.removeprefix("file://")).expanduser()
    if place.is_dir():
        return (file for file in place.rglob("*") if file.name.endswith(_SUFFIXES) and file.is_file())
    if place.is_file():
        return [place]
    return (Path(match) for match in glob.glob(str(place), recursive=True) if Path(match).is_file())


def _history_file(file: Path) -> HistoryFile:
    resolved = file.resolve()
    try:
        status = resolved.stat()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from error
    return HistoryFile(f"file://{resolved}", status.st_size, str(status.st_mtime_ns))
