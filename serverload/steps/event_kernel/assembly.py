"""From read lines to the tables and counts of a result."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serverload.contracts.instants import from_micros
from serverload.contracts.lines import REJECT_REASONS, REPAIRED_FIELDS, WINDOW_MINUTES
from serverload.steps.event_kernel.line_columns import ScannedLines, empty_slots
from serverload.steps.event_kernel.reference import kept_text
from serverload.steps.event_kernel.results import REJECTS_SCHEMA, LineCounts
from serverload.steps.event_kernel.rules import MINUTE_MICROS
from serverload.steps.event_kernel.scan import ACCEPTED, BLANK, ENCODING, NO_TYPE, SKIPPED
from serverload.steps.event_kernel.window_sums import WindowSums, add_up
from serverload.steps.window_rows import WINDOWS_SCHEMA

_WINDOW_MICROS = WINDOW_MINUTES * MINUTE_MICROS
_REJECTS_AT_ONCE = 65536
"""So many texts at a time are Python objects, or a buffer full of short broken lines would take all memory."""


def add_windows(scanned: ScannedLines) -> tuple[pa.Table, NDArray[np.int64]]:
    """Add up the accepted lines: the table of WINDOWS_SCHEMA, and the repairs for each of REPAIRED_FIELDS."""
    accepted = int(np.count_nonzero(scanned.columns.status == ACCEPTED))
    room = _empty_sums(accepted)
    repairs = np.zeros(len(REPAIRED_FIELDS), np.int64)
    count = add_up(scanned.columns, _WINDOW_MICROS, empty_slots(accepted), room, repairs)
    sums = WindowSums._make(column[:count].copy() for column in room)
    no_type = sums.server_type == NO_TYPE
    arrays = [
        pa.array(scanned.servers, pa.string()).take(pa.array(sums.server)),
        sums.window * _WINDOW_MICROS,
        sums.sessions,
        *np.ascontiguousarray(sums.micros.T),
        sums.last_event,
        pa.array(sums.server_type, mask=no_type),
        pa.array(sums.server_type_at, mask=no_type),
    ]
    return pa.table(_cast(arrays, WINDOWS_SCHEMA), WINDOWS_SCHEMA), repairs


def reject_lines(scanned: ScannedLines) -> pa.Table:
    """The refused lines as the table of REJECTS_SCHEMA, in the order of the buffer."""
    status, start = scanned.columns.status, scanned.columns.start
    refused = np.flatnonzero(status >= ENCODING)
    names = pa.array(REJECT_REASONS, pa.string())
    batches = []
    for first in range(0, len(refused), _REJECTS_AT_ONCE):
        lines = refused[first : first + _REJECTS_AT_ONCE]
        texts = pa.array([kept_text(scanned.line(line)) for line in lines.tolist()], pa.string())
        reasons = names.take(pa.array(status[lines] - ENCODING))
        batches.append(pa.record_batch([texts, reasons, pa.array(start[lines])], schema=REJECTS_SCHEMA))
    return pa.Table.from_batches(batches, REJECTS_SCHEMA)


def count_lines(scanned: ScannedLines, repairs: NDArray[np.int64]) -> LineCounts:
    """Count what became of the lines; `repairs` are those of accepted lines for each of REPAIRED_FIELDS."""
    status = scanned.columns.status
    found = np.bincount(status, minlength=ENCODING + len(REJECT_REASONS)).tolist()
    times = scanned.columns.time[status == ACCEPTED]
    return LineCounts(
        read=len(status) - found[BLANK],
        accepted=found[ACCEPTED],
        rejected=sum(found[ENCODING:]),
        skipped=found[SKIPPED],
        rejected_by_reason=_counted(REJECT_REASONS, found[ENCODING:]),
        repaired_by_field=_counted(REPAIRED_FIELDS, repairs.tolist()),
        first_event=from_micros(int(times.min())) if times.size else None,
        last_event=from_micros(int(times.max())) if times.size else None,
    )


def _counted(names: Iterable[str], counts: Iterable[int]) -> dict[str, int]:
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _cast(columns: Iterable[object], schema: pa.Schema) -> list[pa.Array]:
    return [pa.array(column).cast(kind) for column, kind in zip(columns, schema.types, strict=True)]


def _empty_sums(room: int) -> WindowSums:
    return WindowSums(
        server=np.empty(room, np.int32),
        window=np.empty(room, np.int64),
        sessions=np.empty(room, np.int64),
        micros=np.empty((room, 8), np.int64),
        last_event=np.empty(room, np.int64),
        server_type=np.empty(room, np.int32),
        server_type_at=np.empty(room, np.int64),
    )
