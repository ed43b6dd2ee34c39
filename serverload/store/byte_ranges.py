"""Reading a file as whole lines, range by range: every line belongs to the range that its first byte is in."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import BinaryIO, TypeVar

from serverload.contracts.errors import InputError
from serverload.store.file_openers import LOCAL_FILES, FileOpener, is_compressed, store_errors

CHUNK_BYTES = 16 * 1024 * 1024

_UNPACKED_TIMES = 4
"""A compressed file of session lines holds about so many times its size."""

Part = TypeVar("Part")


@dataclass(frozen=True)
class ByteRange:
    """Lines of a file whose first byte is at `start` or later and before `end`."""

    uri: str
    start: int
    end: int

    def length(self, size: int) -> int:
        """Bytes to read of a file of this size."""
        return size if self.end < 0 else self.end - self.start


def text_size(uri: str, size: int) -> int:
    """Bytes of lines in a file of this size; about, for a compressed one."""
    return size * _UNPACKED_TIMES if is_compressed(uri) else size


def ranges_of(uri: str, size: int, range_bytes: int) -> list[ByteRange]:
    """Cut a file into even ranges; a compressed one stays whole (its end is not known before it is read)."""
    if is_compressed(uri):
        return [ByteRange(uri, 0, -1)]
    length = ceil(size / ceil(size / range_bytes)) if size else 1
    return [ByteRange(uri, start, min(start + length, size)) for start in range(0, size, length)]


def grouped(parts: Iterable[Part], size_of: Callable[[Part], int], most: int) -> list[list[Part]]:
    """Cut parts, in order, into groups of at most `most` bytes each, or of one larger part."""
    groups: list[list[Part]] = []
    room = 0
    for part in parts:
        if not groups or size_of(part) > room:
            groups.append([])
            room = most
        groups[-1].append(part)
        room -= size_of(part)
    return groups


def spread(parts: Sequence[Part], size_of: Callable[[Part], int], groups: int) -> list[list[Part]]:
    """Cut parts, in order, into at most so many groups (at least one), each within one part of the same size."""
    whole, before = sum(map(size_of, parts)), 0
    filled: list[list[Part]] = [[] for _ in range(max(1, groups))]
    for part in parts:
        middle = 2 * before + size_of(part)
        filled[middle * len(filled) // (2 * whole + 1)].append(part)
        before += size_of(part)
    return [group for group in filled if group]


def read_lines(
    part: ByteRange, chunk_bytes: int = CHUNK_BYTES, opener: FileOpener = LOCAL_FILES
) -> Iterator[tuple[int, memoryview]]:
    """Yield (byte offset, whole lines) chunks of a range; the last line of a file may lack its newline.

    Offsets of a compressed file count decompressed bytes. Memory is two chunks, or the longest line. Raises
    InputError where a compressed file is broken.
    """
    with store_errors(part.uri), opener.opened(part.uri) as file:
        if is_compressed(part.uri):
            yield from _unpacked(part.uri, file, chunk_bytes)
            return
        offset = _first_line_start(file, part.start)
        if offset < part.end:
            yield from _chunks(file, offset, part.end, chunk_bytes)


def _unpacked(uri: str, file: BinaryIO, chunk_bytes: int) -> Iterator[tuple[int, memoryview]]:
    try:
        yield from _chunks(file, 0, None, chunk_bytes)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        hint = "mend or remove it, then run again"
        raise InputError(f"cannot be unpacked: {error}", where=uri, hint=hint) from error


def _first_line_start(file: BinaryIO, start: int) -> int:
    """Skip the line that began in the range before; a line that begins exactly at `start` is ours."""
    if start == 0:
        return 0
    position = start - 1
    file.seek(position)
    while piece := file.read(65536):
        newline = piece.find(b"\n")
        if newline >= 0:
            file.seek(position + newline + 1)
            return position + newline + 1
        position += len(piece)
    return position


def _chunks(file: BinaryIO, offset: int, end: int | None, chunk_bytes: int) -> Iterator[tuple[int, memoryview]]:
    rest = b""
    while True:
        wanted = chunk_bytes if end is None else min(chunk_bytes, end - offset - len(rest))
        piece = file.read(wanted) if wanted > 0 else b""
        if not piece:
            break
        lines = rest + piece
        cut = lines.rfind(b"\n") + 1
        if cut:
            yield offset, memoryview(lines)[:cut]
            offset += cut
        rest = lines[cut:]
    if end is not None and rest:
        rest += _until_newline(file)
    if rest:
        yield offset, memoryview(rest)


def _until_newline(file: BinaryIO) -> bytes:
    pieces = []
    while piece := file.read(65536):
        newline = piece.find(b"\n")
        if newline >= 0:
            pieces.append(piece[: newline + 1])
            break
        pieces.append(piece)
    return b"".join(pieces)
