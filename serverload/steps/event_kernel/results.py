"""What the kernel gives back: window sums, refused lines, counts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

REJECTS_SCHEMA = pa.schema([("line", pa.string()), ("reason", pa.string()), ("offset", pa.int64())])
"""Refused lines in the order of the buffer; `offset` is the byte where the line starts."""


@dataclass(frozen=True)
class LineCounts:
    """What became of the lines: read = accepted + rejected + skipped. Counts of different buffers can be added.

    The maps hold no zeros; repairs and the first and newest event (UTC) are those of accepted lines.
    """

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    repaired_by_field: dict[str, int] = field(default_factory=dict)
    first_event: datetime | None = None
    last_event: datetime | None = None

    def __add__(self, other: "LineCounts") -> "LineCounts":
        """Count the lines of both."""
        return LineCounts(
            read=self.read + other.read,
            accepted=self.accepted + other.accepted,
            rejected=self.rejected + other.rejected,
            skipped=self.skipped + other.skipped,
            rejected_by_reason=_added(self.rejected_by_reason, other.rejected_by_reason),
            repaired_by_field=_added(self.repaired_by_field, other.repaired_by_field),
            first_event=_of_known(min, self.first_event, other.first_event),
            last_event=_of_known(max, self.last_event, other.last_event),
        )


@dataclass(frozen=True)
class KernelResult:
    """Window sums (WINDOWS_SCHEMA), refused lines (REJECTS_SCHEMA) and counts of one buffer.

    One row for each server and window, in the order of their first lines; another row for the same key only where
    a sum would pass 8e18 micros. `slow_lines` says how many lines the fast path left to the slow parser.
    """

    windows: pa.Table
    rejects: pa.Table
    counts: LineCounts
    slow_lines: int


def _added(counts: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    return dict(Counter(counts) + Counter(others))


def _of_known(
    choose: Callable[[list[datetime]], datetime], time: datetime | None, other: datetime | None
) -> datetime | None:
    known = [time for time in (time, other) if time is not None]
    return choose(known) if known else None
