"""The fast path's numbers: a numeral's bytes to micros, exactly as `fields` reads them or not at all."""

import numpy as np
from numpy.typing import NDArray

from serverload.steps.event_kernel.compiled import part

NOTHING = -(2**62)
"""Stands for: this is no number (or no time), for sure."""

UNKNOWN = NOTHING + 1
"""Stands for: too close to call, the slow path must say."""

WITH_FRACTION = NOTHING + 2
"""Stands for: a number, but not a whole one."""

_POWERS = np.array([10**power for power in range(19)], np.int64)
_EXACT_POWERS = np.array([10.0**power for power in range(23)], np.float64)
_MOST_DIGITS = 922337203685477580
_EXACT_WHOLE = 2**53
_ROUNDING = 2**52
_ROUNDING_DOUBLE = 2.0**52


@part
def decimal(buffer: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Split a numeral into signed digits and a scale (value = digits / 10**scale); scale NOTHING if it is none.

    Digits that 64 bits cannot hold are cut; then the digits given exceed 9e17.
    """
    negative = at < end and buffer[at] == 45
    if at < end and (negative or buffer[at] == 43):
        at += 1
    first = at
    digits, kept, at = _digits(buffer, at, end, 0)
    run = at - first
    scale = kept - run
    if at < end and buffer[at] == 46:
        first = at + 1
        digits, kept, at = _digits(buffer, first, end, digits)
        scale += kept
        run = at - first
    if run == 0:
        return 0, NOTHING
    if at < end:
        scale = _scale_after_exponent(buffer, at, end, scale)
    return -digits if negative else digits, scale


@part
def _digits(buffer: NDArray[np.uint8], at: int, end: int, digits: int) -> tuple[int, int, int]:
    """Append a run of digits; give all digits, how many of the run were kept, and where the run ends."""
    kept = 0
    while at < end and 48 <= buffer[at] <= 57:
        if digits < _MOST_DIGITS:
            digits = digits * 10 + (buffer[at] - 48)
            kept += 1
        at += 1
    return digits, kept, at


@part
def _scale_after_exponent(buffer: NDArray[np.uint8], at: int, end: int, scale: int) -> int:
    """The scale with an exponent taken in; one with its digits cut is still larger than any line is long."""
    if buffer[at] != 101 and buffer[at] != 69:
        return NOTHING
    at += 1
    negative = at < end and buffer[at] == 45
    if at < end and (negative or buffer[at] == 43):
        at += 1
    exponent, _kept, last = _digits(buffer, at, end, 0)
    if last == at or last < end:
        return NOTHING
    return scale + exponent if negative else scale - exponent


@part
def micros(digits: int, scale: int) -> int:
    """round_half_even(double(digits / 10**scale) * 1e6); NOTHING beyond 1e9, UNKNOWN if it is too close to tell."""
    if scale == NOTHING:
        return NOTHING
    size = abs(digits)
    if scale <= 6:
        # Both roundings together miss by less than a quarter, so the whole number is the true one.
        power = 6 - scale
        if size == 0:
            return 0
        if power > 15 or size > _POWERS[15 - power]:
            return NOTHING
        found = size * int(_POWERS[power])
    elif scale <= 22 and size <= _EXACT_WHOLE:
        # Both operands are exact doubles, so the quotient is the nearest double: the one that is meant, here below 1e9.
        found = int(size / _EXACT_POWERS[scale] * 1e6 + _ROUNDING_DOUBLE) - _ROUNDING
    else:
        found = _certain_micros(size, scale)
    return -found if digits < 0 and found >= 0 else found


@part
def _certain_micros(size: int, scale: int) -> int:
    """Divide in whole numbers; certain if the rest is further from a half than both roundings and the cut can reach."""
    if scale >= 26:
        return 0
    if scale == 25:
        return UNKNOWN
    divisor = _POWERS[scale - 6]
    quotient: int = size // divisor
    if quotient > 10**15 + 1:
        return NOTHING
    from_half = size - quotient * divisor - divisor // 2
    reach = size * 2.3e-16 + 2.0
    if quotient >= 10**15 - 1 or abs(from_half) <= reach:
        return UNKNOWN
    return quotient + int(from_half > 0)


@part
def whole(digits: int, scale: int) -> int:
    """The number, if it is a whole one; WITH_FRACTION, NOTHING or UNKNOWN otherwise."""
    if scale == NOTHING:
        return NOTHING
    size = abs(digits)
    if scale > 22 or size > _EXACT_WHOLE:
        return UNKNOWN
    if scale <= 0:
        if size == 0:
            return 0
        fits = scale >= -9 and size <= _POWERS[9 + scale]
        return digits * int(_POWERS[-scale]) if fits else NOTHING
    value = digits / _EXACT_POWERS[scale]
    if abs(value) > 1e9:
        return NOTHING
    return int(value) if value == np.floor(value) else WITH_FRACTION
