"""Which files a PATH of a command means: one rule for the history and for the replay."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from errno import EACCES
from fnmatch import fnmatch
from pathlib import Path

from serverload.contracts.errors import InputError

SUFFIXES = (".csv", ".gz")
HIDDEN = (".", "_")
NO_FILES_HINT = "give folders, globs or files (.csv, .csv.gz, .gz)"


@dataclass(frozen=True, order=True)
class EventFile:
    """A file as it stood when it was found; its path is absolute and free of links."""

    path: Path
    size: int
    modified_ns: int


def event_files(paths: Sequence[str]) -> list[EventFile]:
    """Find the files behind folders, globs and single files: each once, whatever led to it, in order of path.

    A folder, given or matched, is searched through its subfolders for .csv and .gz (so .csv.gz too); what begins with
    `.` or `_` is left out there, as Spark's readers do, because it is half written or another tool's. A glob takes
    only files with these endings; a file given by its name is taken whatever it is called. Raises InputError, before
    anything is read, for a path without files and for a folder or file that cannot be read.
    """
    found: dict[Path, EventFile] = {}
    for path in paths:
        if not is_local_address(path):
            raise InputError("only local files can be read", where=path, hint="copy or mount them first")
        behind = [_event_file(file) for file in _behind(path)]
        if not behind:
            raise InputError("no files there", where=path, hint=NO_FILES_HINT)
        found.update((file.path, file) for file in behind)
    return sorted(found.values())


def is_local_address(path: str) -> bool:
    """Tell whether a PATH is of this machine."""
    return "://" not in path or path.startswith("file://")


def is_meant(name: str) -> bool:
    """Tell whether a file found in a folder or by a glob is one of events, by its name."""
    return name.endswith(SUFFIXES)


def is_hidden(match: str, pattern: str) -> bool:
    """Tell whether a path has a hidden part that the pattern did not ask for by its own `.` or `_`."""
    asked = [part for part in pattern.split("/") if part.startswith(HIDDEN)]
    hidden = (part for part in match.split("/") if part.startswith(HIDDEN))
    return not all(any(fnmatch(part, like) for like in asked) for part in hidden)


def _behind(path: str) -> Iterator[Path]:
    place = Path(path.removeprefix("file://")).expanduser()
    if place.is_file():
        yield place
        return
    if place.is_dir():  # before it is tried as a pattern: folders may have brackets in their names
        yield from _inside(place)
        return
    for match in glob.glob(str(place), recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
        if is_hidden(match, str(place)):
            continue
        if Path(match).is_dir():
            yield from _inside(Path(match))
        elif _is_meant(Path(match)):
            yield Path(match)


def _inside(folder: Path) -> Iterator[Path]:
    """Walk a folder, through links too, each folder once."""
    seen: set[Path] = set()
    for parent, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(parent).resolve()
        if here in seen:  # a link that leads back
            subfolders.clear()
            continue
        seen.add(here)
        subfolders[:] = [name for name in subfolders if not name.startswith(HIDDEN)]
        for name in names:
            if not name.startswith(HIDDEN) and _is_meant(Path(parent, name)):
                yield Path(parent, name)


def _is_meant(file: Path) -> bool:
    """Tell whether a name fits; a link that leads nowhere stays in, to be told instead of passed over."""
    return is_meant(file.name) and (file.is_file() or file.is_symlink())


def _event_file(file: Path) -> EventFile:
    resolved = file.resolve()
    try:
        status = resolved.stat()
        if not os.access(resolved, os.R_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from error
    return EventFile(resolved, status.st_size, status.st_mtime_ns)


def _refuse(error: OSError) -> None:
    raise InputError(f"cannot be read: {error.strerror}", where=str(error.filename)) from error
