"""What a replay needs to know of a raw line: when it happened and whose it is. Any bytes will do."""

import json
import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MICROS_PER_SECOND = 1_000_000

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_TIME_END = (datetime(2101, 1, 1) - _EPOCH) // _MICROSECOND
_TIME = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?: ?(?:Z|([+-])(\d\d):?([0-5]\d)))?"
)
_CANONICAL_SIZE = len(b"2016-06-01 00:00:00")


def is_blank(line: bytes) -> bool:
    """Tell whether a line holds ASCII whitespace only, beside a byte order mark."""
    return not line.strip() or not line.removeprefix(BYTE_ORDER_MARK).strip()


def event_time_and_key(line: bytes) -> tuple[int | None, bytes | None]:
    """Return a line's SessionStart in microseconds since 1970 UTC and its trimmed ServerIP, each None if absent.

    The layout is told as the ingest does it: 16 fields, 17 fields (the older order), or one JSON object. A line
    of another shape has neither. The two are read on their own: a bad time leaves the key, and the other way round.
    """
    body = line.removeprefix(BYTE_ORDER_MARK)
    if body[:1] == b"{":
        return _of_json(body)
    fields = body.split(b",")
    if len(fields) == 16:
        start = fields[0]
    elif len(fields) == 17:
        start = fields[1]
    else:
        return None, None
    return time_micros(start.strip()), fields[15].strip() or None


def time_micros(text: bytes) -> int | None:
    """Read a trimmed session time (the grammar of the ingest) as microseconds since 1970 UTC, or None."""
    if len(text) == _CANONICAL_SIZE:
        minute, second = _minute_micros(text[:17]), text[17:]
        if minute is not None and second.isdigit() and second < b"60":
            return minute + int(second) * MICROS_PER_SECOND
    match = _TIME.fullmatch(text)
    return None if match is None else _matched_micros(match)


@lru_cache(maxsize=4096)
def _minute_micros(minute: bytes) -> int | None:
    """Read `YYYY-MM-DD HH:MM:`; neighbouring lines mostly share their minute."""
    match = _TIME.fullmatch(minute[:-1]) if minute.endswith(b":") else None
    return None if match is None else _matched_micros(match)


def _matched_micros(match: re.Match[bytes]) -> int | None:
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    offset = int(offset_hours) * 60 + int(offset_minutes) if sign else 0
    if offset > 18 * 60:
        return None
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))
    except ValueError:
        return None
    micros = (local - _EPOCH) // _MICROSECOND + int((fraction or b"0")[:6].ljust(6, b"0"))
    micros += (offset if sign == b"-" else -offset) * 60 * MICROS_PER_SECOND
    return micros if 0 <= micros < _TIME_END else None


def _of_json(body: bytes) -> tuple[int | None, bytes | None]:
    try:
        found = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        return None, None
    start, server = (_text(found, name) for name in ("SessionStart", "ServerIP"))
    return (None if start is None else time_micros(start)), server or None


def _text(found: Any, name: str) -> bytes | None:
    """A member's text, trimmed; numbers by their text, all but strings and numbers absent."""
    member = found.get(name) if isinstance(found, dict) else None
    return member.encode("utf-8", "replace").strip() if isinstance(member, str) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)
