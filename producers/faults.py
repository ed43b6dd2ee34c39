"""Faults on purpose: lines sent late, out of order, twice or damaged, the same for the same seed."""

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

from producers.input_files import InputFile
from producers.line_facts import MICROS_PER_SECOND, is_blank
from producers.merge import SourceLine
from serverload.contracts.errors import InputError, StoreError

SHUFFLE_LINES = 100
"""A shuffled line, or the copy of a doubled one, comes after up to this many others."""

LATEST_SECONDS = 6 * 3600
EARLIEST_LATE_SECONDS = 60
MOST_HELD_LINES = 100_000
"""More late lines are never held: the one due next goes early, so memory stays flat."""


@dataclass(frozen=True)
class FaultRates:
    """Share of lines that each fault befalls, each drawn on its own, and the seed of the draws."""

    late: float = 0.0
    shuffle: float = 0.0
    duplicates: float = 0.0
    corrupt: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse rates that are no shares."""
        for rate in fields(self)[:4]:
            share = getattr(self, rate.name)
            if not 0 <= share <= 1:
                raise InputError(f"expected a rate from 0 to 1, got {share:g}", where=f"--{rate.name}")

    @property
    def none(self) -> bool:
        """No fault at all."""
        return not (self.late or self.shuffle or self.duplicates or self.corrupt)


class Fault(NamedTuple):
    """What was done to a message, and how, as plain values for the ledger."""

    kind: str
    how: dict[str, int | str]


class Outgoing(NamedTuple):
    """A message as it is to be sent; `stream_time` is the newest event time of the stream at its place."""

    source: SourceLine
    text: bytes
    stream_time: int
    faults: tuple[Fault, ...] = ()


def outgoing(lines: Iterable[SourceLine], rates: FaultRates) -> Iterator[Outgoing]:
    """Turn the stream of lines into messages, with faults; without any, every line as it is."""
    if not rates.none:
        yield from _Faulty(rates).messages(lines)
        return
    newest = -1
    for line in lines:
        newest = max(newest, line.time)
        yield Outgoing(line, line.line, newest)


class _Faulty:
    """Holds lines back by event time (late) and by lines (shuffled ones, copies), and lets them go when due."""

    def __init__(self, rates: FaultRates) -> None:
        self._rates = rates
        self._random = {kind: Random(f"{rates.seed}:{kind}") for kind in ("late", "shuffle", "duplicates", "corrupt")}
        self._due_at_time: list[tuple[int, int, Outgoing]] = []
        self._due_at_line: list[tuple[int, int, Outgoing]] = []
        self._order = count()

    def messages(self, lines: Iterable[SourceLine]) -> Iterator[Outgoing]:
        """Yield every line, and the copies."""
        newest = -1
        for number, line in enumerate(lines):
            newest = max(newest, line.time)
            yield from _released(self._due_at_time, newest, newest)
            yield from _released(self._due_at_line, number, newest)
            message = self._maybe_damaged(Outgoing(line, line.line, newest))
            self._maybe_doubled(message, number)
            if not self._held(message, number):
                yield message
            elif len(self._due_at_time) > MOST_HELD_LINES:
                yield heapq.heappop(self._due_at_time)[2]._replace(stream_time=newest)
        for held in (self._due_at_line, self._due_at_time):
            yield from _released(held, 1 << 63, newest)

    def _happens(self, kind: str) -> bool:
        rate: float = getattr(self._rates, kind)
        return rate > 0 and self._random[kind].random() < rate

    def _held(self, message: Outgoing, number: int) -> bool:
        """Hold a message back if it is to be late, else if it is to be shuffled."""
        late, shuffled = self._happens("late"), self._happens("shuffle")
        if late:
            seconds = self._random["late"].randint(EARLIEST_LATE_SECONDS, LATEST_SECONDS)
            held = _with_fault(message, Fault("late", {"seconds": seconds}))
            due = message.stream_time + seconds * MICROS_PER_SECOND
            heapq.heappush(self._due_at_time, (due, next(self._order), held))
        elif shuffled:
            lines = self._random["shuffle"].randint(1, SHUFFLE_LINES)
            held = _with_fault(message, Fault("shuffle", {"lines": lines}))
            heapq.heappush(self._due_at_line, (number + lines + 1, next(self._order), held))
        return late or shuffled

    def _maybe_doubled(self, message: Outgoing, number: int) -> None:
        if self._happens("duplicates"):
            lines = self._random["duplicates"].randint(0, SHUFFLE_LINES)
            copy = _with_fault(message, Fault("duplicates", {"lines": lines}))
            heapq.heappush(self._due_at_line, (number + lines + 1, next(self._order), copy))

    def _maybe_damaged(self, message: Outgoing) -> Outgoing:
        if not self._happens("corrupt"):
            return message
        text, how = _damaged(message.text, self._random["corrupt"])
        return _with_fault(message._replace(text=text), Fault("corrupt", how))


def _released(held: list[tuple[int, int, Outgoing]], reached: int, newest: int) -> Iterator[Outgoing]:
    while held and held[0][0] <= reached:
        yield heapq.heappop(held)[2]._replace(stream_time=newest)


def _with_fault(message: Outgoing, fault: Fault) -> Outgoing:
    return message._replace(faults=(*message.faults, fault))


def _damaged(text: bytes, random: Random) -> tuple[bytes, dict[str, int | str]]:
    """Damage a line so that the ingest must refuse it, and tell for which reason.

    It is cut within its first field, or commas are added, or a byte that is never UTF-8 is put over another.
    """
    way, place = random.choice(("byte", "cut", "commas")), random.randrange(len(text))
    head = text.split(b",", 1)[0][: max(4, place)]
    if way == "cut" and not is_blank(head) and b"{" not in head:  # a prefix of JSON may still be JSON
        damaged = head
    elif way == "commas":
        damaged = text + b"," * 17
    else:
        way, damaged = "byte", text[:place] + b"\xff" + text[place + 1 :]
    try:
        damaged.decode()
    except UnicodeDecodeError:
        return damaged, {"way": way, "reason": "encoding"}
    return damaged, {"way": way, "reason": "columns"}


class FaultLedger:
    """A file that tells what was done to the messages sent, one JSON object a line; begun anew by each start."""

    def __init__(self, path: Path, files: Sequence[InputFile]) -> None:
        self._path, self._files = path, files

    def __enter__(self) -> "FaultLedger":
        """Open the file; an earlier start's entries come again, since the order of messages is the same."""
        try:
            self._text = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot be written: {error.strerror}", where=str(self._path)) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._text.close()

    def tell(self, sequence: int, message: Outgoing) -> None:
        """Write one entry for each fault of a message."""
        file, offset = str(self._files[message.source.file].path), message.source.offset
        for kind, how in message.faults:
            json.dump({"kind": kind, "sequence": sequence, "file": file, "offset": offset, **how}, self._text)
            self._text.write("\n")
