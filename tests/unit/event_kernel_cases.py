"""Lines to draw cases with, and the straightforward answer that the kernel must give to any buffer."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from serverload.contracts.instants import from_micros
from serverload.contracts.lines import FIELDS_16, FIELDS_17, MEASURES
from serverload.steps.event_kernel import EventKernel, KernelResult, LineCounts, LineRules
from serverload.steps.event_kernel.reference import Event, Refusal, kept_text, parse_line

Row = tuple[Any, ...]
Answer = tuple[list[Row], list[Row], LineCounts]

WINDOW_MICROS = 300_000_000

RULES = LineRules(source="history", batch_time=datetime(2016, 6, 1, 12, 0, tzinfo=UTC))

CLEAN = {
    "TrafficType": "0",
    "SessionStart": "2016-06-01 00:07:30",
    "SessionEnd": "2016-06-01 00:09:00",
    "ConcurrentConnectionCounts": "12",
    "MbytesTransferred": "1.5",
    "ServiceGrade": "1",
    "HTTP1": "0",
    "ServerType": "3",
    "SubService_1_Load": "0.1",
    "SubService_2_Load": "0.2",
    "SubService_3_Load": "0.3",
    "SubService_4_Load": "0.4",
    "SubService_5_Load": "0.5",
    "SecureBytes_Load": "0.6",
    "TotalLoad": "2.25",
    "ClientIP": "192.168.0.7",
    "ServerIP": "10.0.0.1",
}


def line(**fields: str) -> bytes:
    """A clean line of 16 fields, but for the fields given."""
    return ",".join({**CLEAN, **fields}[name] for name in FIELDS_16).encode()


def line_17(**fields: str) -> bytes:
    """A clean line of 17 fields, but for the fields given."""
    return ",".join({**CLEAN, **fields}[name] for name in FIELDS_17).encode()


def run(*lines: bytes, **rules: Any) -> KernelResult:
    """The kernel's result for these lines, after a check that it is the straightforward one."""
    buffer = b"".join(line + b"\n" for line in lines)
    chosen = replace(RULES, **rules)
    result = EventKernel(chosen).run(buffer)
    assert comparable(result) == straightforward(buffer, chosen)
    return result


def fate(line: bytes, **rules: Any) -> str:
    """What becomes of a line: 'accepted', 'skipped', 'blank' or the reason of refusal."""
    counts = run(line, **rules).counts
    if counts.rejected:
        return next(iter(counts.rejected_by_reason))
    return "accepted" if counts.accepted else "skipped" if counts.skipped else "blank"


def only_window(result: KernelResult) -> dict[str, Any]:
    """The single row of window sums."""
    rows: list[dict[str, Any]] = result.windows.to_pylist()
    (row,) = rows
    return row


def comparable(result: KernelResult) -> Answer:
    """A result without the order of its windows."""
    return _rows(result.windows, key=lambda row: row[:2]), _rows(result.rejects), result.counts


def straightforward(buffer: bytes, rules: LineRules) -> Answer:
    """Split at LF, read each line by the reference, add up in dicts."""
    events, rejects, skipped, offset = [], [], 0, 0
    for raw in buffer.split(b"\n"):
        outcome = parse_line(raw, rules)
        if isinstance(outcome, Event):
            events.append(outcome)
        elif isinstance(outcome, Refusal):
            rejects.append((kept_text(raw), outcome.reason, offset))
        elif outcome is not None:
            skipped += 1
        offset += len(raw) + 1
    times = [event.time for event in events]
    counts = LineCounts(
        read=len(events) + len(rejects) + skipped,
        accepted=len(events),
        rejected=len(rejects),
        skipped=skipped,
        rejected_by_reason=dict(Counter(reason for _, reason, _ in rejects)),
        repaired_by_field=dict(Counter(name for event in events for name in event.repaired)),
        first_event=from_micros(min(times)) if times else None,
        last_event=from_micros(max(times)) if times else None,
    )
    return _window_rows(events), rejects, counts


def _window_rows(events: list[Event]) -> list[Row]:
    groups: dict[tuple[str, int], list[Event]] = {}
    for event in events:
        groups.setdefault((event.server_ip, event.time // WINDOW_MICROS), []).append(event)
    rows = []
    for (server, window), members in groups.items():
        typed = [(event.time, event.server_type) for event in members if event.server_type is not None]
        newest = max(typed, default=None)
        rows.append(
            (
                server,
                from_micros(window * WINDOW_MICROS),
                len(members),
                *(sum(event.measures[measure] for event in members) for measure in range(len(MEASURES))),
                from_micros(max(event.time for event in members)),
                None if newest is None else newest[1],
                None if newest is None else from_micros(newest[0]),
            )
        )
    return sorted(rows, key=lambda row: row[:2])


def _rows(table: pa.Table, key: Callable[[Row], Any] | None = None) -> list[Row]:
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return sorted(rows, key=key) if key else rows
