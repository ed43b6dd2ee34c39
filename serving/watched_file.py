"""A file that may change at any time and is read again when it has."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

Content = TypeVar("Content")


class WatchedFile(Generic[Content]):
    """What a file says now."""

    def __init__(self, path: Path, read: Callable[[Path], Content]) -> None:
        """Nothing is read yet; `read` raises a ServerloadError for what it cannot use."""
        self._path, self._read = path, read
        self._lock = Lock()
        self._known: tuple[tuple[int, int, int], Content] | None = None

    def now(self) -> Content:
        """The content as it stands. Raises what `read` raises, and OSError where there is no file."""
        told = os.stat(self._path)  # noqa: PTH116
        mark = (told.st_ino, told.st_mtime_ns, told.st_size)
        with self._lock:
            if self._known is None or self._known[0] != mark:
                self._known = None
                self._known = (mark, self._read(self._path))
            return self._known[1]
