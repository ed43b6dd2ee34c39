"""The fast path's bytes as text: ASCII whitespace, digits, UTF-8."""

import numpy as np
from numpy.typing import NDArray

from serverload.steps.event_kernel.compiled import part


@part
def trimmed(buffer: NDArray[np.uint8], start: int, end: int) -> tuple[int, int]:
    """Bounds without the ASCII whitespace at both ends."""
    while start < end and _is_blank(buffer[start]):
        start += 1
    while end > start and _is_blank(buffer[end - 1]):
        end -= 1
    return start, end


@part
def _is_blank(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@part
def has_digit(buffer: NDArray[np.uint8], at: int, end: int) -> bool:
    """Tell whether there is an ASCII digit."""
    while at < end and not 48 <= buffer[at] <= 57:
        at += 1
    return at < end


@part
def has_byte_order_mark(buffer: NDArray[np.uint8], at: int, end: int) -> bool:
    """Tell whether a line starts with U+FEFF."""
    return bool(end - at >= 3 and buffer[at] == 239 and buffer[at + 1] == 187 and buffer[at + 2] == 191)


@part
def is_utf8(buffer: NDArray[np.uint8], at: int, end: int) -> bool:
    """Tell whether the bytes are UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF."""
    while at < end:
        length, lowest, highest = _sequence(buffer[at])
        if length == 0 or at + length > end:
            return False
        for place in range(1, length):
            if not lowest <= buffer[at + place] <= highest:
                return False
            lowest, highest = 128, 191
        at += length
    return True


@part
def _sequence(first: int) -> tuple[int, int, int]:
    """Length of the sequence that a byte starts (0 if none), and the bounds of its second byte."""
    if first < 128:
        return 1, 128, 191
    if first < 194 or first > 244:
        return 0, 128, 191
    if first < 224:
        return 2, 128, 191
    if first < 240:
        return 3, 160 if first == 224 else 128, 159 if first == 237 else 191
    return 4, 144 if first == 240 else 128, 143 if first == 244 else 191
