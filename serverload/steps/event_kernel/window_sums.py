"""Accepted lines added up per server and window, in whole micros: the order of lines never shows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serverload.steps.event_kernel.compiled import compiled, part
from serverload.steps.event_kernel.scan import ACCEPTED, NO_TYPE, Columns

_SAFE_SUM = 8 * 10**18
_SAFE_SESSIONS = 8000
"""So many sessions of at most 1e15 micros each cannot exceed the safe sum."""


class WindowSums(NamedTuple):
    """One entry for each sum: its key, its sums, its newest event, its newest whole-number type (or NO_TYPE)."""

    server: NDArray[np.int32]
    window: NDArray[np.int64]
    sessions: NDArray[np.int64]
    micros: NDArray[np.int64]
    last_event: NDArray[np.int64]
    server_type: NDArray[np.int32]
    server_type_at: NDArray[np.int64]


@compiled
def add_up(
    columns: Columns,
    window_micros: int,
    slots: NDArray[np.int32],
    sums: WindowSums,
    repairs: NDArray[np.int64],
) -> int:
    """Fill the sums from the accepted lines, count their repairs by bit, and give how many sums there are.

    `slots` (a power of two, all -1) and `sums` must have room for every accepted line. One sum for each server
    and window; another one only where 64 bits could overflow.
    """
    count = 0
    for line in range(columns.status.size):
        if columns.status[line] != ACCEPTED:
            continue
        server = columns.server[line]
        window = columns.time[line] // window_micros
        slot = _slot(server, window, slots, sums)
        entry = slots[slot]
        if entry < 0 or (sums.sessions[entry] >= _SAFE_SESSIONS and _too_large(columns, line, sums, entry)):
            entry = count
            slots[slot] = entry
            count += 1
            _begin(server, window, sums, entry)
        _add(columns, line, sums, entry)
        if columns.repaired[line] != 0:
            for bit in range(8):
                repairs[bit] += (columns.repaired[line] >> bit) & 1
    return count


@part
def _slot(server: int, window: int, slots: NDArray[np.int32], sums: WindowSums) -> int:
    """Where the newest sum of this server and window is noted, or would be."""
    mixed = (np.uint64(server) << np.uint64(24) ^ np.uint64(window)) * np.uint64(11400714819323198485)
    slot = int(np.int64((mixed >> np.uint64(32)) & np.uint64(slots.size - 1)))
    while slots[slot] >= 0 and (sums.server[slots[slot]] != server or sums.window[slots[slot]] != window):
        slot = (slot + 1) & (slots.size - 1)
    return slot


@part
def _too_large(columns: Columns, line: int, sums: WindowSums, entry: int) -> bool:
    largest = 0
    for measure in range(8):
        largest = max(largest, abs(sums.micros[entry, measure] + columns.micros[line, measure]))
    return largest > _SAFE_SUM


@part
def _begin(server: int, window: int, sums: WindowSums, entry: int) -> None:
    sums.server[entry] = server
    sums.window[entry] = window
    sums.sessions[entry] = 0
    sums.last_event[entry] = 0
    sums.server_type[entry] = NO_TYPE
    sums.server_type_at[entry] = 0
    for measure in range(8):
        sums.micros[entry, measure] = 0


@part
def _add(columns: Columns, line: int, sums: WindowSums, entry: int) -> None:
    time = columns.time[line]
    sums.sessions[entry] += 1
    for measure in range(8):
        sums.micros[entry, measure] += columns.micros[line, measure]
    sums.last_event[entry] = max(sums.last_event[entry], time)
    kind = columns.server_type[line]
    newest = sums.server_type_at[entry]
    if kind != NO_TYPE and (time > newest or (time == newest and kind > sums.server_type[entry])):
        sums.server_type[entry] = kind
        sums.server_type_at[entry] = time
