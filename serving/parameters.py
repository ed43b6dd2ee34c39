"""Parameters that several addresses share: times, names of servers."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, BeforeValidator, StringConstraints

from serverload.contracts.instants import parse_utc_time

FIRST_YEAR, LAST_YEAR = 1970, 2100
_A_TIME = "expected a UTC time, such as 2016-06-01T12:00"
LONGEST_NAME = 200


def utc_time(raw: object) -> object:
    """Read an ISO time as aware UTC. Raises ValueError for anything else, and outside of the years 1970 to 2100."""
    if not isinstance(raw, str):
        raise ValueError(_A_TIME)
    try:
        read = parse_utc_time(raw)
    except (ValueError, OverflowError) as error:
        raise ValueError(_A_TIME) from error
    if not FIRST_YEAR <= read.year < LAST_YEAR:
        raise ValueError(f"expected a time of the years {FIRST_YEAR} to {LAST_YEAR - 1}")
    return read


def _whole_hour(read: datetime) -> datetime:
    if read != read.replace(minute=0, second=0, microsecond=0):
        raise ValueError("expected the start of an hour")
    return read


def hour_of(time: datetime) -> datetime:
    """Start of the hour that a time lies in."""
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


Time = Annotated[datetime, BeforeValidator(utc_time)]
Hour = Annotated[datetime, BeforeValidator(utc_time), AfterValidator(_whole_hour)]
ServerName = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]
Servers = Annotated[list[ServerName] | None, Query(max_length=1000, description="Only these; may be given again.")]
