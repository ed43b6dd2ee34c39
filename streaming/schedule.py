"""When the next advance is due: from time to time, and at once when an hour may have closed."""

from datetime import datetime, timedelta

from serverload.contracts.instants import hour_number

_REST_BEHIND = 4.0
"""Behind a backlog ingest is alone for so many times as long as the advance before took."""
_INTERVALS_OF_TRYING = 6.0
"""For so many intervals a new hour is awaited: one server's clock that is ahead brings it long before the others."""


class AdvanceSchedule:
    """Told of each batch and each advance; all times are in seconds of one clock that only goes forward.

    An hour may close once a batch has a session of the next one, past the allowed lateness; then an advance follows as
    soon as ingest has had as much time to itself as the advance before took. Without such a batch, or where the fleet
    does not follow, each advance is `interval_seconds` after the one before; behind a backlog, where each has many
    hours to do and most of them soon count for little, it is later still.
    """

    def __init__(self, interval_seconds: float, allowed_lateness_minutes: int, now: float) -> None:
        self._interval, self._lateness = interval_seconds, timedelta(minutes=allowed_lateness_minutes)
        self._ended, self._took = now, 0.0
        self._behind = False
        self._hour: int | None = None
        self._closed: int | None = None
        self._try_until = now

    def batch(self, newest_event: datetime | None, *, behind: bool, now: float) -> None:
        """A batch is committed: its newest event (aware), and whether more messages wait than it could have."""
        self._behind = behind
        if newest_event is None:
            return
        hour = hour_number(newest_event - self._lateness) - 1
        if self._hour is None or hour > self._hour:
            self._hour, self._try_until = hour, now + _INTERVALS_OF_TRYING * self._interval

    def advanced(self, closed_hour: int | None, *, begun: float, now: float) -> None:
        """An advance has ended; `closed_hour` is the newest hour (a number) that was closed; None: it failed."""
        self._ended, self._took, self._closed = now, now - begun, closed_hour

    def due(self, now: float) -> bool:
        """Whether to advance now."""
        return now >= self._ended + self._pause(now)

    def _pause(self, now: float) -> float:
        if self._behind:
            return max(self._interval, _REST_BEHIND * self._took)
        if self._hour is None or self._closed is None or self._hour <= self._closed or now >= self._try_until:
            return self._interval
        return min(self._interval, self._took)
