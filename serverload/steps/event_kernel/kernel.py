"""The event kernel: newline-ended bytes in; window sums, refused lines and counts out."""

from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serverload.steps.event_kernel.assembly import add_windows, count_lines, reject_lines
from serverload.steps.event_kernel.fields import is_server
from serverload.steps.event_kernel.line_columns import ScannedLines, scan_lines
from serverload.steps.event_kernel.reference import Event, Refusal, parse_line
from serverload.steps.event_kernel.results import KernelResult
from serverload.steps.event_kernel.rules import LineRules
from serverload.steps.event_kernel.scan import ACCEPTED, BLANK, SERVER_IP, SKIPPED, STATUS_OF_REASON, UNSURE

_REMEMBERED_SERVERS = 65536


class EventKernel:
    """Reads session lines by the rules of one batch; cheap to make, pickled by its rules, safe in threads.

    One pass of compiled code reads the lines that it is sure of; every other line goes through `parse_line`, the
    definition. So the result is that of `parse_line` for every line, added up.
    """

    def __init__(self, rules: LineRules) -> None:
        self.rules = rules
        self._is_server = lru_cache(_REMEMBERED_SERVERS)(partial(is_server, rules=rules))

    def __reduce__(self) -> tuple[type["EventKernel"], tuple[LineRules]]:
        return EventKernel, (self.rules,)

    def run(self, lines: bytes | memoryview | NDArray[np.uint8] | pa.Buffer) -> KernelResult:
        """Read a contiguous buffer of lines that end at LF; the last one may lack it.

        Nothing is copied and no bytes raise: every line that is not blank is accepted, refused or skipped. Memory
        beside the buffer: about 100 bytes a line. The result depends on the bytes and the rules alone. A buffer
        that is not contiguous is a ValueError or BufferError.
        """
        buffer = np.frombuffer(lines, np.uint8)
        buffer.setflags(write=False)
        scanned = scan_lines(buffer, self.rules.limits)
        self._judge_servers(scanned)
        slow_lines = self._read_slowly(scanned)
        windows, repairs = add_windows(scanned)
        return KernelResult(windows, reject_lines(scanned), count_lines(scanned, repairs), slow_lines)

    def _judge_servers(self, scanned: ScannedLines) -> None:
        """Skip the lines of servers that are not asked for, refuse those of texts that are no server."""
        status, server = scanned.columns.status, scanned.columns.server
        known = server >= 0
        only = self.rules.only_servers
        if only:
            asked = np.array([text in only for text in scanned.servers], np.bool_)
            status[known] = np.where(asked[server[known]], status[known], SKIPPED)
        valid = np.array([self._is_server(text) for text in scanned.servers], np.bool_)
        if not valid.all():
            refused = known & ((status == ACCEPTED) | (status > SERVER_IP))
            refused[known] &= ~valid[server[known]]
            status[refused] = SERVER_IP

    def _read_slowly(self, scanned: ScannedLines) -> int:
        """Let the reference read the lines that the scan is not sure of; tell how many."""
        unsure = np.flatnonzero(scanned.columns.status == UNSURE)
        for line in unsure.tolist():
            outcome = parse_line(scanned.line(line), self.rules)
            if isinstance(outcome, Event):
                scanned.put(line, outcome)
            elif isinstance(outcome, Refusal):
                scanned.columns.status[line] = STATUS_OF_REASON[outcome.reason]
            else:
                scanned.columns.status[line] = BLANK if outcome is None else SKIPPED
        return len(unsure)
