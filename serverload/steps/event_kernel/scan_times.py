"""The fast path's times: the bytes of a session time to microseconds, by the same grammar as `fields`."""

import numpy as np
from numpy.typing import NDArray

from serverload.steps.event_kernel.compiled import part
from serverload.steps.event_kernel.scan_numbers import NOTHING

_DAYS_BEFORE_MONTH = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365], np.int64)
_TIME_END = 4133980800 * 1000000
_NO_DIGITS = -100000


@part
def time_of(buffer: NDArray[np.uint8], start: int, end: int) -> int:
    """Microseconds since 1970 UTC; NOTHING if it is no time of the years 1970 to 2100."""
    if end - start < 16:
        return NOTHING
    days = _days(buffer, start)
    hour = _two(buffer, start + 11)
    minute = _two(buffer, start + 14)
    if buffer[start + 10] != 32 and buffer[start + 10] != 84:
        return NOTHING
    if buffer[start + 13] != 58 or hour < 0 or hour > 23 or minute < 0 or minute > 59 or days == NOTHING:
        return NOTHING
    seconds, at = _seconds(buffer, start + 16, end)
    offset = _offset_minutes(buffer, at, end)
    if seconds == NOTHING or offset == NOTHING:
        return NOTHING
    micros = ((days * 24 + hour) * 60 + minute - offset) * 60000000 + seconds
    return micros if 0 <= micros < _TIME_END else NOTHING


@part
def _two(buffer: NDArray[np.uint8], at: int) -> int:
    """Value of two digits; if they are none, so far below zero that no year made of it is above."""
    if 48 <= buffer[at] <= 57 and 48 <= buffer[at + 1] <= 57:
        return int(buffer[at] - 48) * 10 + int(buffer[at + 1] - 48)
    return _NO_DIGITS


@part
def _days(buffer: NDArray[np.uint8], at: int) -> int:
    """Days from 1970 to the real date YYYY-MM-DD that stands there, of any year from 1 on."""
    year = _two(buffer, at) * 100 + _two(buffer, at + 2)
    month = _two(buffer, at + 5)
    day = _two(buffer, at + 8)
    if buffer[at + 4] != 45 or buffer[at + 7] != 45 or year < 1 or month < 1 or month > 12 or day < 1:
        return NOTHING
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    length = _DAYS_BEFORE_MONTH[month] - _DAYS_BEFORE_MONTH[month - 1]
    if day > length + (leap and month == 2):
        return NOTHING
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    return days + int(_DAYS_BEFORE_MONTH[month - 1]) + (leap and month > 2) + day - 1


@part
def _seconds(buffer: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Microseconds of an optional `:SS[.f..]`, digits after the sixth cut, and where it ends."""
    if at >= end or buffer[at] != 58:
        return 0, at
    if end - at < 3:
        return NOTHING, at
    seconds = _two(buffer, at + 1)
    if seconds < 0 or seconds > 59:
        return NOTHING, at
    micros = seconds * 1000000
    at += 3
    if at < end and buffer[at] == 46:
        first = at + 1
        at = first
        worth = 100000
        while at < end and 48 <= buffer[at] <= 57:
            micros += (buffer[at] - 48) * worth
            worth //= 10
            at += 1
        if at == first or at > first + 9:
            return NOTHING, at
    return micros, at


@part
def _offset_minutes(buffer: NDArray[np.uint8], at: int, end: int) -> int:
    """Minutes of an optional zone that must fill the rest: one space if any, then Z, +HH:MM or +HHMM."""
    if at == end:
        return 0
    if buffer[at] == 32:
        at += 1
    if end - at == 1 and buffer[at] == 90:
        return 0
    colon = end - at == 6 and buffer[at + 3] == 58
    if (end - at != 5 and not colon) or (buffer[at] != 43 and buffer[at] != 45):
        return NOTHING
    hours = _two(buffer, at + 1)
    minutes = _two(buffer, at + 3 + colon)
    offset = hours * 60 + minutes
    if hours < 0 or minutes < 0 or minutes > 59 or offset > 1080:
        return NOTHING
    return -offset if buffer[at] == 45 else offset
