"""The pace of a replay: event time against a clock that is given."""

import threading
import time
from typing import Protocol

from producers.merge import LEAP_MICROS
from serverload.contracts.errors import InputError

LONGEST_PAUSE_SECONDS = 300.0
"""A silence of more than a day that would take longer than this is jumped over."""


class Clock(Protocol):
    """What the pace needs of time."""

    def now(self) -> float:
        """Seconds that only ever grow, from any start."""

    def sleep(self, seconds: float) -> None:
        """Let this many seconds pass; may come back early when the work is to stop."""


class WallClock:
    """The machine's clock; a set `stop` ends a sleep at once."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep, or wake up because of the stop."""
        self._stop.wait(min(seconds, threading.TIMEOUT_MAX))


class Pace:
    """Tells how long to wait before a line, so that `speed` seconds of event time pass in one second.

    It follows the newest event time so far: what is older goes at once. Time lost by slow sending is caught up.
    A silence of more than a day is jumped over if it would take more than five minutes, so that neither a gap in
    the history nor a wrong year stops a replay. Speed None is no pace at all.
    """

    def __init__(self, clock: Clock, speed: float | None) -> None:
        if speed is not None and not speed > 0:
            raise InputError(f"expected a speed above 0, got {speed:g}", where="replay", hint="--max sends unpaced")
        self._clock, self._speed = clock, speed
        self._newest: int | None = None
        self._began_at, self._began_with = 0.0, 0

    def pause_seconds(self, event_time: int) -> float:
        """Seconds to wait before the line of this event time (microseconds since 1970 UTC) is due."""
        if self._speed is None or event_time < 0:
            return 0.0
        if self._newest is None:
            self._begin(event_time)
            return 0.0
        if event_time <= self._newest:
            return 0.0
        silence, self._newest = event_time - self._newest, event_time
        due = self._began_at + (event_time - self._began_with) / 1e6 / self._speed
        pause = due - self._clock.now()
        if silence > LEAP_MICROS and pause > LONGEST_PAUSE_SECONDS:
            self._begin(event_time)
            return 0.0
        return max(0.0, pause)

    def _begin(self, event_time: int) -> None:
        self._began_at, self._began_with, self._newest = self._clock.now(), event_time, event_time
