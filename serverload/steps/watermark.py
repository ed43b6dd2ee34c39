"""The watermark: how far event time has come over the whole fleet, and which hours that closes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from serverload.contracts.instants import hour_number

_AWAKE_WITHIN = timedelta(hours=168)
_SERVERS_PER_VOTE = 20


def watermark(last_events: Sequence[datetime], allowed_lateness_minutes: int) -> datetime | None:
    """Tell how far event time has come: the k-th newest server's last event, less the allowed lateness.

    `last_events`: the newest event of each server, in any order; None if there is no server.
    With R the second newest of them (the only one of a single server), the n servers not more than 168 h
    behind R vote: k = 1 of fewer than 3, else every twentieth and never the very first, so that one broken
    clock does not move it. A function of the tables, not of arrival order; it may step back when servers join.
    """
    if not last_events:
        return None
    newest_first = sorted(last_events, reverse=True)
    reference = newest_first[min(1, len(newest_first) - 1)]
    awake = sum(event >= reference - _AWAKE_WITHIN for event in newest_first)
    k = 1 if awake < 3 else max(2, -(-awake // _SERVERS_PER_VOTE))
    return newest_first[k - 1] - timedelta(minutes=allowed_lateness_minutes)


def newest_closed_hour(watermark: datetime | None) -> int | None:
    """Number of the newest hour whose end the watermark has reached; None without a watermark."""
    return None if watermark is None else hour_number(watermark) - 1
