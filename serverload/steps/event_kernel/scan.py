"""The fast path: one pass over the bytes that reads every line it is sure of, and says of which it is not.

What it reads agrees with `reference` to the last bit. JSON, a line with a byte order mark and a number too close
to call are left to that one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.lines import REJECT_REASONS
from serverload.steps.event_kernel.compiled import compiled, part
from serverload.steps.event_kernel.scan_numbers import NOTHING, UNKNOWN, WITH_FRACTION, decimal, micros, whole
from serverload.steps.event_kernel.scan_text import has_byte_order_mark, has_digit, is_utf8, trimmed
from serverload.steps.event_kernel.scan_times import time_of

ACCEPTED, SKIPPED, UNSURE, BLANK = range(4)
ENCODING, COLUMNS, HEADER, SESSION_START, SERVER_IP, TOTAL_LOAD, OUTSIDE, AHEAD = range(4, 12)
"""What became of a line; from ENCODING on the reasons of refusal, in the order of REJECT_REASONS."""

STATUS_OF_REASON = {reason: ENCODING + place for place, reason in enumerate(REJECT_REASONS)}

NO_TYPE = -(2**31)
NO_SERVER = -1


class Columns(NamedTuple):
    """One entry for each line: where it lies, what became of it, what it holds."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    status: NDArray[np.uint8]
    server: NDArray[np.int32]
    time: NDArray[np.int64]
    micros: NDArray[np.int64]
    server_type: NDArray[np.int32]
    repaired: NDArray[np.uint8]


class ServerTable(NamedTuple):
    """The distinct server texts of a run: where each first stood, found again by open addressing."""

    slots: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    known: NDArray[np.int64]


@compiled
def count_line_ends(buffer: NDArray[np.uint8]) -> int:
    """Count the LF bytes."""
    count = 0
    for byte in buffer:
        count += byte == 10
    return count


@compiled
def scan(
    buffer: NDArray[np.uint8],
    layouts: NDArray[np.int64],
    limits: NDArray[np.int64],
    columns: Columns,
    servers: ServerTable,
    bounds: NDArray[np.int64],
) -> int:
    """Fill the columns from the buffer's lines and give how many there are; blank lines get no entry.

    `layouts` holds the positions of the read fields for 16 and for 17 fields, `limits` a TimeLimits, `bounds` is
    room for 32 numbers. `columns` and `servers` must have room for every line. Whether a server text is a server
    is not asked here: that takes one question for each text, not for each line.
    """
    lines = 0
    start = 0
    while start < buffer.size:
        end, fields, plain = _split(buffer, start, bounds)
        status = _outer_status(buffer, start, end, fields, plain)
        if status != BLANK:
            columns.start[lines] = start
            columns.end[lines] = end
            columns.server[lines] = NO_SERVER
            if status == ACCEPTED:
                status = _read(buffer, bounds, layouts[fields - 16], limits, columns, servers, lines)
            columns.status[lines] = status
            lines += 1
        start = end + 1
    return lines


@part
def _split(buffer: NDArray[np.uint8], start: int, bounds: NDArray[np.int64]) -> tuple[int, int, bool]:
    """Find the line's end, its number of fields and whether it is ASCII; field i lies between bounds i and i + 1."""
    bounds[0] = start - 1
    fields = 1
    seen = np.uint8(0)
    at = start
    while at < buffer.size:
        byte = buffer[at]
        if byte == 10:
            break
        bounds[fields & 31] = at
        fields += byte == 44
        seen |= byte
        at += 1
    bounds[fields & 31] = at
    return at, fields, bool(seen < 128)


@part
def _outer_status(buffer: NDArray[np.uint8], start: int, end: int, fields: int, plain: bool) -> int:
    """What is known of a line before its fields are read; ACCEPTED so far if its layout is sound."""
    if fields == 1:
        first, last = trimmed(buffer, start, end)
        if first == last:
            return BLANK
    if not plain:
        if has_byte_order_mark(buffer, start, end):
            return UNSURE
        if not is_utf8(buffer, start, end):
            return ENCODING
    if buffer[start] == 123:
        return UNSURE
    return ACCEPTED if 16 <= fields <= 17 else COLUMNS


@part
def _field(buffer: NDArray[np.uint8], bounds: NDArray[np.int64], field: int) -> tuple[int, int]:
    return trimmed(buffer, bounds[field] + 1, bounds[field + 1])


@part
def _read(
    buffer: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    layout: NDArray[np.int64],
    limits: NDArray[np.int64],
    columns: Columns,
    servers: ServerTable,
    line: int,
) -> int:
    """Read a line of a known layout into its columns and give its status."""
    start, end = _field(buffer, bounds, layout[1])
    columns.server[line] = _interned(buffer, start, end, servers)
    start, end = _field(buffer, bounds, layout[0])
    time = time_of(buffer, start, end)
    if time == NOTHING:
        return SESSION_START if start == end or has_digit(buffer, start, end) else HEADER
    if time < limits[0] or time >= limits[1]:
        return SKIPPED
    columns.time[line] = time
    if not _read_numbers(buffer, bounds, layout, columns, line):
        return UNSURE
    if columns.micros[line, 0] < 0:
        return TOTAL_LOAD
    if time < limits[2] or time >= limits[3]:
        return OUTSIDE
    return AHEAD if time > limits[4] else ACCEPTED


@part
def _read_numbers(
    buffer: NDArray[np.uint8], bounds: NDArray[np.int64], layout: NDArray[np.int64], columns: Columns, line: int
) -> bool:
    """Read the measures and the type into their columns; tell whether all of them are certain.

    A total load that is no number is left as NOTHING, which is negative; the others become 0 and a repair.
    """
    repaired = 0
    for measure in range(8):
        start, end = _field(buffer, bounds, layout[2 + measure])
        digits, scale = decimal(buffer, start, end)
        found = micros(digits, scale)
        if found == UNKNOWN:
            return False
        if found == NOTHING and measure > 0:
            repaired |= 1 << (measure - 1)
            found = 0
        columns.micros[line, measure] = found
    start, end = _field(buffer, bounds, layout[10])
    digits, scale = decimal(buffer, start, end)
    kind = whole(digits, scale)
    if kind == NOTHING:
        repaired |= 1 << 7
    columns.server_type[line] = NO_TYPE if kind <= WITH_FRACTION else kind
    columns.repaired[line] = repaired
    return kind != UNKNOWN


@part
def _interned(buffer: NDArray[np.uint8], start: int, end: int, servers: ServerTable) -> int:
    """Give the number of this server text, a new one if it is new."""
    mixed = np.uint64(14695981039346656037)
    for at in range(start, end):
        mixed = (mixed ^ np.uint64(buffer[at])) * np.uint64(1099511628211)
    slot = int(np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(servers.slots.size - 1)))
    while servers.slots[slot] != NO_SERVER:
        number: int = servers.slots[slot]
        if _equal(buffer, start, end, servers.start[number], servers.end[number]):
            return number
        slot = (slot + 1) & (servers.slots.size - 1)
    new: int = servers.known[0]
    servers.slots[slot] = new
    servers.start[new] = start
    servers.end[new] = end
    servers.known[0] = new + 1
    return new


@part
def _equal(buffer: NDArray[np.uint8], start: int, end: int, other_start: int, other_end: int) -> bool:
    if end - start != other_end - other_start:
        return False
    same = 0
    while start + same < end and buffer[start + same] == buffer[other_start + same]:
        same += 1
    return start + same == end
