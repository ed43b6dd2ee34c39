"""Times as whole numbers, microseconds and hours since 1970-01-01 UTC, and as text."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def from_micros(micros: int) -> datetime:
    """The aware UTC time of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def hour_number(time: datetime) -> int:
    """The hour that a time lies in, as whole hours since 1970."""
    return (time - EPOCH) // HOUR


def hour_start(hour: int) -> datetime:
    """The aware UTC start of an hour number."""
    return EPOCH + hour * HOUR


def parse_utc_time(text: str) -> datetime:
    """Read an ISO time or date as aware UTC; without a zone it is UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text.strip())
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
