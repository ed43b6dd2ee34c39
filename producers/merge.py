"""Many files as one stream of lines in event time, each file's own order kept."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from producers.input_files import FileLines, InputFile
from producers.line_facts import MICROS_PER_SECOND, event_time_and_key

LEAP_MICROS = 24 * 3600 * MICROS_PER_SECOND
"""A time further ahead than this in its file counts only if the lines after it follow."""

FOLLOWERS = 8
FIRST_TIME_LINES = 2000
_NO_TIME = -1
"""Sorts a file without any readable time, and its lines, before all times."""

_AFTER_ALL = (1 << 63, 0)


class SourceLine(NamedTuple):
    """One line of a file: `time` is where it stands in the stream, in microseconds since 1970 UTC."""

    time: int
    file: int
    offset: int
    line: bytes
    key: bytes | None


_UnderWay = tuple[int, int, SourceLine, Iterator[SourceLine]]


class _Read(NamedTuple):
    offset: int
    line: bytes
    time: int | None
    key: bytes | None


class MergedLines:
    """The lines of all files, always taken from the file whose current line is oldest; iterate once.

    A line without a believable time has the file's newest time so far. Ties go to the earlier path. Files are first
    read at their first time, so memory follows how many overlap, not how many there are.
    """

    def __init__(self, files: list[InputFile]) -> None:
        self._files = files
        self._readers: dict[int, FileLines] = {}
        self._finished_bytes = 0

    @property
    def bytes_read(self) -> int:
        """Bytes on disk that were read so far."""
        return self._finished_bytes + sum(reader.bytes_read for reader in self._readers.values())

    def __iter__(self) -> Iterator[SourceLine]:
        """Yield every non-blank line once."""
        waiting = sorted(((first_time(file), index) for index, file in enumerate(self._files)), reverse=True)
        under_way: list[_UnderWay] = []
        while waiting or under_way:
            if waiting and (not under_way or waiting[-1] <= under_way[0][:2]):
                self._go_on(self._begun(*waiting.pop()), under_way)
                continue
            _, index, line, lines = heapq.heappop(under_way)
            next_of_others = min([*waiting[-1:], *(other[:2] for other in under_way[:1])], default=_AFTER_ALL)
            current: SourceLine | None = line
            while current is not None and (current.time, index) <= next_of_others:
                yield current
                current = next(lines, None)
            self._go_on((index, current, lines), under_way)

    def _begun(self, first: int, index: int) -> tuple[int, SourceLine | None, Iterator[SourceLine]]:
        self._readers[index] = FileLines(self._files[index])
        lines = _lines_in_time(self._readers[index], index, first)
        return index, next(lines, None), lines

    def _go_on(self, current: tuple[int, SourceLine | None, Iterator[SourceLine]], under_way: list[_UnderWay]) -> None:
        index, line, lines = current
        if line is None:
            self._finished_bytes += self._readers.pop(index).bytes_read
        else:
            heapq.heappush(under_way, (line.time, index, line, lines))


def first_time(file: InputFile) -> int:
    """The first believable time among a file's first lines; before all times if there is none."""
    lines = islice(_believed(_reads(FileLines(file))), FIRST_TIME_LINES)
    return next((time for _, time in lines if time is not None), _NO_TIME)


def _lines_in_time(reader: FileLines, index: int, first: int) -> Iterator[SourceLine]:
    for read, time in _believed(_reads(reader)):
        yield SourceLine(first if time is None else time, index, read.offset, read.line, read.key)


def _reads(reader: FileLines) -> Iterator[_Read]:
    for offset, line in reader:
        yield _Read(offset, line, *event_time_and_key(line))


def _believed(reads: Iterator[_Read]) -> Iterator[tuple[_Read, int | None]]:
    """Pair each line with its time, or with the newest time so far where its own is absent or an unfollowed leap.

    None stands before the first believable time. A leap is believed if most of the next readable lines (FOLLOWERS)
    are not far behind it, or none comes after it: so a wrong year neither holds up its file nor sets the pace.
    """
    ahead: deque[_Read] = deque()
    newest: int | None = None
    while True:
        read = ahead.popleft() if ahead else next(reads, None)
        if read is None:
            return
        if read.time is not None and (newest is None or read.time > newest + LEAP_MICROS):
            ahead.extend(islice(reads, max(0, 2 * FOLLOWERS - len(ahead))))
            if not _followed(read.time, ahead):
                yield read, newest
                continue
        if read.time is not None:
            newest = read.time if newest is None else max(newest, read.time)
        yield read, newest if read.time is None else read.time


def _followed(time: int, ahead: Iterable[_Read]) -> bool:
    """Tell whether most of the lines after a leap stay with it; nothing after it has to wait if there are none."""
    times = [read.time for read in ahead if read.time is not None][:FOLLOWERS]
    return not times or 2 * sum(each >= time - LEAP_MICROS for each in times) > len(times)
