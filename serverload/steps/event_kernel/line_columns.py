"""The lines of a buffer as columns: made by the scan, completed by the slow path."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.lines import REPAIRED_FIELDS
from serverload.steps.event_kernel.reference import LAYOUTS, READ_FIELDS, Event
from serverload.steps.event_kernel.rules import TimeLimits
from serverload.steps.event_kernel.scan import (
    ACCEPTED,
    NO_SERVER,
    NO_TYPE,
    Columns,
    ServerTable,
    count_line_ends,
    scan,
)

_LAYOUTS = np.array([[layout.index(name) for name in READ_FIELDS] for layout in LAYOUTS], np.int64)
_REPAIR_BIT = {name: 1 << bit for bit, name in enumerate(REPAIRED_FIELDS)}


class ScannedLines:
    """A buffer's lines: their columns, and the distinct server texts that the column `server` points into."""

    def __init__(self, buffer: NDArray[np.uint8], columns: Columns, servers: list[str]) -> None:
        self.buffer = buffer
        self.columns = columns
        self.servers = servers

    def line(self, line: int) -> bytes:
        """The line's bytes without its LF."""
        return self.buffer[self.columns.start[line] : self.columns.end[line]].tobytes()

    def put(self, line: int, event: Event) -> None:
        """Enter an event that was read on the slow path."""
        columns = self.columns
        columns.status[line] = ACCEPTED
        columns.server[line] = self._number(event.server_ip)
        columns.time[line] = event.time
        columns.micros[line] = event.measures
        columns.server_type[line] = NO_TYPE if event.server_type is None else event.server_type
        columns.repaired[line] = sum(_REPAIR_BIT[name] for name in event.repaired)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {text: number for number, text in enumerate(self.servers)}

    def _number(self, server: str) -> int:
        number = self._numbers.setdefault(server, len(self.servers))
        if number == len(self.servers):
            self.servers.append(server)
        return number


def scan_lines(buffer: NDArray[np.uint8], limits: TimeLimits) -> ScannedLines:
    """Scan a read-only buffer into columns, one entry for each line that is not blank."""
    room = int(count_line_ends(buffer)) + 1
    columns, servers = _empty_columns(room), _empty_servers(room)
    bounds = np.empty(32, np.int64)
    lines = scan(buffer, _LAYOUTS, np.array(limits, np.int64), columns, servers, bounds)
    known = int(servers.known[0])
    places = zip(servers.start[:known].tolist(), servers.end[:known].tolist(), strict=True)
    texts = [buffer[start:end].tobytes().decode("utf-8") for start, end in places]
    return ScannedLines(buffer, Columns._make(column[:lines] for column in columns), texts)


def empty_slots(entries: int) -> NDArray[np.int32]:
    """An empty hash table with room for so many entries: a power of two, at most half full."""
    return np.full(1 << (2 * entries).bit_length(), NO_SERVER, np.int32)


def _empty_columns(room: int) -> Columns:
    return Columns(
        start=np.empty(room, np.int64),
        end=np.empty(room, np.int64),
        status=np.empty(room, np.uint8),
        server=np.empty(room, np.int32),
        time=np.empty(room, np.int64),
        micros=np.empty((room, 8), np.int64),
        server_type=np.empty(room, np.int32),
        repaired=np.empty(room, np.uint8),
    )


def _empty_servers(room: int) -> ServerTable:
    return ServerTable(
        slots=empty_slots(room),
        start=np.empty(room, np.int64),
        end=np.empty(room, np.int64),
        known=np.zeros(1, np.int64),
    )
