"""The grammar of single fields: time, number, server. Slow and obvious; the fast path must agree with it."""

import ipaddress
import re
from datetime import datetime

from serverload.contracts.classes import MICROS
from serverload.steps.event_kernel.rules import MICROSECOND, MINUTE_MICROS, LineRules

ASCII_WHITESPACE = " \t\n\v\f\r"
NUMBER_LIMIT = 1e9
"""A field beyond this size is no number."""

MAX_OFFSET_MINUTES = 18 * 60

_NAIVE_EPOCH = datetime(1970, 1, 1)
_TIME_END = (datetime(2101, 1, 1) - _NAIVE_EPOCH) // MICROSECOND

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[ T]([0-9]{2}):([0-9]{2})"
    r"(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(?: ?(?:Z|([+-])([0-9]{2}):?([0-9]{2})))?"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def trimmed(text: str) -> str:
    """Cut ASCII whitespace off both ends, and no other kind."""
    return text.strip(ASCII_WHITESPACE)


def time_micros(text: str) -> int | None:
    """Read a session time as microseconds since 1970 UTC; None if it is none of the years 1970 to 2100.

    Fraction digits after the sixth are cut, not rounded. The year counts in UTC, after the offset.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    offset = 0
    if sign:
        if int(offset_minutes) > 59:
            return None
        offset = int(offset_hours) * 60 + int(offset_minutes)
    if offset > MAX_OFFSET_MINUTES:
        return None
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))
    except ValueError:
        return None
    micros = (local - _NAIVE_EPOCH) // MICROSECOND + int((fraction or "0")[:6].ljust(6, "0"))
    micros -= offset * MINUTE_MICROS * (-1 if sign == "-" else 1)
    return micros if 0 <= micros < _TIME_END else None


def number(text: str) -> float | None:
    """Read a decimal numeral as the nearest double; None if it is none, or beyond 1e9 in size."""
    if _NUMBER.fullmatch(text) is None:
        return None
    value = float(text)
    return value if abs(value) <= NUMBER_LIMIT else None


def to_micros(value: float) -> int:
    """Whole millionths of a number, half to even."""
    return round(value * MICROS)


def is_server(text: str, rules: LineRules) -> bool:
    """Tell whether a trimmed ServerIP is accepted: an address without `%`, or what the rules' pattern says.

    A text that UTF-8 cannot hold (a lone surrogate out of a JSON escape) is refused under any pattern.
    """
    if rules.server_regex is not None:
        return rules.server_regex.fullmatch(text) is not None and not _has_surrogate(text)
    if "%" in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
