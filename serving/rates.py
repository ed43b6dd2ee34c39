"""How many requests a minute each key has made, counted for all worker processes together in a small shared file."""

import fcntl
import hashlib
import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

_SLOT = struct.Struct("=8sd")
_SLOTS = 4096


class SharedRates:
    """An allowance that fills evenly, up to a minute's worth, and that each request takes one from."""

    def __init__(self, file: Path, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`file` is shared by the processes of one machine, and made where there is none; 0 a minute is no limit.

        `clock`: seconds, the same for all of them, never going back.
        """
        self._clock = clock
        self._between = 60.0 / per_minute if per_minute else 0.0
        self._lock = Lock()
        self._file = file.open("a+b")
        self._file.truncate(_SLOTS * _SLOT.size)
        self._map = mmap.mmap(self._file.fileno(), _SLOTS * _SLOT.size)

    def wait_seconds(self, holder: str) -> float:
        """Take one from a holder's allowance: 0, or for how long there is none."""
        if not self._between:
            return 0.0
        name = hashlib.sha256(holder.encode()).digest()[:8]
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                return self._taken(name, self._clock())
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _taken(self, name: bytes, now: float) -> float:
        """A slot holds when the allowance will be full again; it is put off by each request, for a minute at most."""
        place = self._place(name, now)
        known: float = _SLOT.unpack_from(self._map, place)[1]
        full_at = max(known, now) + self._between
        if full_at - now > 60.0 + self._between / 2:
            return full_at - now - 60.0
        _SLOT.pack_into(self._map, place, name, full_at)
        return 0.0

    def _place(self, name: bytes, now: float) -> int:
        """The slot of a name; a new name takes the first one that is full again, or else shares its own."""
        first, free = int.from_bytes(name, "big") % _SLOTS, -1
        for step in range(16):
            place = (first + step) % _SLOTS * _SLOT.size
            held, full_at = _SLOT.unpack_from(self._map, place)
            if held == name:
                return place
            if free < 0 and full_at <= now:
                free = place
        return free if free >= 0 else first * _SLOT.size
