"""When the next advance is due: at once when an hour has closed, else from time to time."""

from collections.abc import Mapping
from datetime import datetime

from serverload.steps.watermark import newest_closed_hour, watermark

_REST = 4.0
"""Where no hour has closed, ingest has the machine to itself for so many times as long as the advance before took."""


class AdvanceSchedule:
    """Told of each batch and each advance; all times are in seconds of one clock that only goes forward.

    It follows the newest event of each server, and so knows that an hour has closed before the tables are looked at:
    then an advance follows as soon as ingest has had as much time to itself as the advance before took, or an interval.
    Otherwise late data alone is waiting, or an hour that is still open: each advance is `interval_seconds` after the
    one before, and later where these take long. So it is behind a backlog too, where each has many hours to do and most
    of them soon count for little.
    """

    def __init__(
        self, interval_seconds: float, allowed_lateness_minutes: int, last_events: Mapping[str, datetime], now: float
    ) -> None:
        self._interval, self._lateness = interval_seconds, allowed_lateness_minutes
        self._last_events = dict(last_events)
        self._closed = self._advanced_to = self._newest_closed()
        self._ended, self._took = now, 0.0
        self._behind = False

    def batch(self, last_events: Mapping[str, datetime], *, behind: bool) -> None:
        """A batch is committed: the newest event (aware) of each of its servers, and whether more messages wait."""
        self._behind = behind
        for server, event in last_events.items():
            self._last_events[server] = max(event, self._last_events.get(server, event))
        self._closed = self._newest_closed()

    def advancing(self) -> None:
        """An advance begins: it sees what has been committed so far."""
        self._advanced_to = self._closed

    def advanced(self, seconds: float, now: float) -> None:
        """An advance has ended, well or not; it took so long."""
        self._ended, self._took = now, seconds

    def due(self, now: float) -> bool:
        """Whether to advance now."""
        return now >= self._ended + self._pause()

    def _pause(self) -> float:
        has_closed = self._closed is not None and (self._advanced_to is None or self._closed > self._advanced_to)
        if has_closed and not self._behind:
            return min(self._interval, self._took)
        return max(self._interval, _REST * self._took)

    def _newest_closed(self) -> int | None:
        return newest_closed_hour(watermark(list(self._last_events.values()), self._lateness))
