"""The files behind the PATHs of a replay, and their lines, byte by byte, with at most one file open at a time."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from producers.line_facts import is_blank
from serverload.contracts.errors import InputError
from serverload.store.event_files import event_files

CHUNK_BYTES = 1 << 17
MAX_LINE_BYTES = 8 << 20
"""Longer lines are refused by name: no broker takes them, and memory stays flat."""

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, order=True)
class InputFile:
    """A file to replay, with its size in bytes on disk when the replay was planned."""

    path: Path
    size: int


def input_files(paths: Sequence[str]) -> list[InputFile]:
    """Find the files behind folders, globs and single files by the rule of `event_files`, in order of path."""
    return [InputFile(file.path, file.size) for file in event_files(paths)]


class FileLines:
    """The non-blank lines of a file as (byte offset in the text, bytes without LF); iterate once."""

    def __init__(self, file: InputFile) -> None:
        self.file = file
        self.bytes_read = 0
        """Bytes of the file on disk that were read so far."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines; the last one may lack its LF. Raises InputError for a file that cannot be read through."""
        offset, rest = 0, b""
        for chunk in self._text():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not is_blank(line):
                    yield offset, line
                offset += len(line) + 1
            if len(rest) > MAX_LINE_BYTES:
                raise self._unreadable(f"the line at byte {offset} is longer than {MAX_LINE_BYTES} bytes")
        if not is_blank(rest):
            yield offset, rest

    def _text(self) -> Iterator[bytes]:
        return self._gunzipped() if self.file.path.name.endswith(".gz") else self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        """The bytes on disk. The file is opened for each chunk, so that thousands of files can be under way."""
        while self.bytes_read < self.file.size:
            try:
                with self.file.path.open("rb", buffering=0) as raw:
                    raw.seek(self.bytes_read)
                    chunk = raw.read(min(CHUNK_BYTES, self.file.size - self.bytes_read))
            except OSError as error:
                raise self._unreadable(f"cannot be read: {error.strerror}") from error
            if not chunk:
                raise self._unreadable(f"has shrunk to {self.bytes_read} bytes while it was read")
            self.bytes_read += len(chunk)
            yield chunk

    def _gunzipped(self) -> Iterator[bytes]:
        """The text of a gzip file of one or several members, in bounded pieces; zeros after a member are padding."""
        inflater, begun = zlib.decompressobj(_GZIP_WINDOW), False
        try:
            for packed in self._chunks():
                while packed:
                    if inflater.eof:
                        inflater, begun = zlib.decompressobj(_GZIP_WINDOW), False
                    packed = packed if begun else packed.lstrip(b"\0")
                    begun = begun or bool(packed)
                    yield inflater.decompress(packed, CHUNK_BYTES)
                    packed = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            while begun and not inflater.eof and (text := inflater.decompress(b"", CHUNK_BYTES)):
                yield text
        except zlib.error as error:
            raise self._unreadable(f"is no gzip file: {error}") from error
        if begun and not inflater.eof:
            raise self._unreadable("is cut off: the end of the gzip data is missing")

    def _unreadable(self, what: str) -> InputError:
        return InputError(what, where=str(self.file.path))
