"""The event kernel over lines gives window sums, refused lines and counts, packed into a few rows.

Spark keeps, moves and adds up row by row, Arrow table by table: so a table travels as one value of a row.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serverload.contracts.lines import WINDOW_MINUTES
from serverload.steps.event_kernel import EventKernel, LineCounts, LineRules
from serverload.steps.window_rows import WINDOWS_SCHEMA
from serverload.steps.windows import add_partials

WINDOW, REJECT, COUNT, MESSAGE, SERVER = "window", "reject", "count", "message", "server"
PACKED_SCHEMA = pa.schema([("kind", pa.string()), ("part", pa.int32()), ("packed", pa.binary())])
PACKED_DDL = "kind STRING, part INT, packed BINARY"
"""A table of one kind as an Arrow stream: partial window sums of one part of all windows, rejects, counts of lines, or
of messages, or the newest event of each server."""
REJECTS_DDL = "line STRING, reason STRING, origin STRING"

_COUNTS_SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in ("read", "accepted", "rejected", "skipped")),
        *((name, pa.map_(pa.string(), pa.int64())) for name in ("rejected_by_reason", "repaired_by_field")),
        *((name, pa.timestamp("us", "UTC")) for name in ("first_event", "last_event")),
    ]
)
_MESSAGES_SCHEMA = pa.schema([("partition", pa.string()), ("messages", pa.int64())])
_SERVERS_SCHEMA = pa.schema([("server_ip", pa.string()), ("last_event", pa.timestamp("us", "UTC"))])
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")
_CHUNK_BYTES = 8 * 1024 * 1024
"""The kernel is given about so much of messages at once."""
_WAITING_BYTES = 8 * 1024 * 1024
"""Window sums of about this size are handed out together."""

Origins = Callable[[np.ndarray], pa.Array]


@dataclass(frozen=True)
class Lines:
    """Newline-ended bytes, and the origin (text) of the lines at given byte offsets of them."""

    buffer: pa.Buffer | memoryview | bytes
    origins: Origins


def packed_rows(
    rules: LineRules, chunks: Iterable[Lines], parts: int, *, servers: bool = False
) -> Iterator[pa.RecordBatch]:
    """Run the event kernel over chunks of lines; yields rows of PACKED_SCHEMA, the last of them the counts.

    A server's window is always in the same one of `parts`, whoever read its lines. A row of kind server comes before
    the counts if `servers`.
    """
    kernel = EventKernel(rules)
    counts, waiting, newest = LineCounts(), list[pa.Table](), _SERVERS_SCHEMA.empty_table()
    for chunk in chunks:
        result = kernel.run(chunk.buffer)
        counts += result.counts
        if result.rejects.num_rows:
            origins = chunk.origins(result.rejects["offset"].to_numpy())
            yield _packed(REJECT, 0, result.rejects.drop_columns("offset").append_column("origin", origins))
        waiting.append(result.windows)
        if servers:
            newest = _newest([newest, result.windows.select(_SERVERS_SCHEMA.names)])
        if sum(windows.nbytes for windows in waiting) >= _WAITING_BYTES:
            yield from _packed_parts(waiting, parts)
            waiting.clear()
    yield from _packed_parts(waiting, parts)
    if servers:
        yield _packed(SERVER, 0, newest)
    row = {name: list(entry.items()) if isinstance(entry, dict) else entry for name, entry in asdict(counts).items()}
    yield _packed(COUNT, 0, pa.Table.from_pylist([row], _COUNTS_SCHEMA))


def unpacked(packed: pa.Buffer) -> pa.Table:
    """The table in a row of PACKED_SCHEMA."""
    with pa.ipc.open_stream(packed) as stream:
        return stream.read_all()


def added_parts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Add up the partial window sums of each part, from whatever tasks they come: tables of WINDOWS_SCHEMA.

    `batches` have rows of kind window, those of a part one after the other.
    """
    rows = (row for batch in batches for row in zip(batch["part"].to_pylist(), batch["packed"], strict=True))
    for _part, members in groupby(rows, key=itemgetter(0)):
        yield add_partials([unpacked(value.as_buffer()) for _, value in members])


def unpacked_rejects(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The refused lines in rows of kind reject."""
    for batch in batches:
        for value in batch.column("packed"):
            yield from unpacked(value.as_buffer()).to_batches()


def unpacked_counts(values: Iterable[pa.Buffer]) -> LineCounts:
    """Add up the counts in rows of kind count."""
    rows = (row for packed in values for row in unpacked(packed).to_pylist(maps_as_pydicts="strict"))
    return sum((LineCounts(**row) for row in rows), LineCounts())


def packed_messages(read: Mapping[str, int]) -> pa.RecordBatch:
    """A row of kind message: how many messages of each `topic/partition` were read."""
    return _packed(MESSAGE, 0, pa.table([list(read.keys()), list(read.values())], schema=_MESSAGES_SCHEMA))


def unpacked_messages(values: Iterable[pa.Buffer]) -> Counter[str]:
    """Add up the rows of kind message."""
    read = Counter[str]()
    for packed in values:
        for row in unpacked(packed).to_pylist():
            read[row["partition"]] += row["messages"]
    return read


def unpacked_servers(values: Iterable[pa.Buffer]) -> dict[str, datetime]:
    """The newest event (UTC) of each server in rows of kind server."""
    newest = _newest([_SERVERS_SCHEMA.empty_table(), *map(unpacked, values)])
    return dict(zip(newest["server_ip"].to_pylist(), newest["last_event"].to_pylist(), strict=True))


def _newest(tables: list[pa.Table]) -> pa.Table:
    """The newest of each server's events, from tables of _SERVERS_SCHEMA."""
    newest = pa.concat_tables(tables).group_by("server_ip").aggregate([("last_event", "max")])
    return newest.rename_columns({"last_event_max": "last_event"}).select(_SERVERS_SCHEMA.names)


def _packed_parts(waiting: list[pa.Table], parts: int) -> Iterator[pa.RecordBatch]:
    windows = pa.concat_tables([WINDOWS_SCHEMA.empty_table(), *waiting]).combine_chunks()
    part = _part_of(windows, parts)
    order = np.argsort(part, kind="stable")
    ordered = windows.take(pa.array(order))
    bounds = np.searchsorted(part[order], np.arange(parts + 1))
    for number, (begin, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        if begin < end:
            yield _packed(WINDOW, number, ordered.slice(begin, end - begin))


def _part_of(windows: pa.Table, parts: int) -> NDArray[np.uint64]:
    """Which part each row is in; even too where windows come once an hour, or one window has all servers."""
    servers = windows["server_ip"].combine_chunks().dictionary_encode()
    of_server = np.array([zlib.crc32(text.encode()) for text in servers.dictionary.to_pylist()], np.uint64)
    number = windows["window_start"].cast(pa.int64()).to_numpy() // (WINDOW_MINUTES * 60_000_000)
    key = number.astype(np.uint64) ^ (of_server[servers.indices.to_numpy()] << np.uint64(32))
    mixed: NDArray[np.uint64] = key * np.uint64(11400714819323198485) >> np.uint64(32)
    return mixed % np.uint64(parts)


def _packed(kind: str, part: int, table: pa.Table) -> pa.RecordBatch:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_COMPRESSED) as stream:
        stream.write_table(table)
    return pa.RecordBatch.from_pylist(
        [{"kind": kind, "part": part, "packed": sink.getvalue().to_pybytes()}], PACKED_SCHEMA
    )


def file_lines(uri: str, base_offset: int, buffer: pa.Buffer | memoryview | bytes) -> Lines:
    """Lines of a file from a byte offset on; origins are `uri:offset`."""

    def origins(offsets: np.ndarray) -> pa.Array:
        return pa.array([f"{uri}:{base_offset + int(offset)}" for offset in offsets], pa.string())

    return Lines(buffer, origins)


def rechunked(batches: Iterable[pa.RecordBatch], chunk_bytes: int = _CHUNK_BYTES) -> Iterator[pa.RecordBatch]:
    """The same rows in other batches, of about so many bytes: small ones are put together, large ones cut."""
    waiting, size = list[pa.RecordBatch](), 0
    for batch in batches:
        rows = max(1, batch.num_rows * chunk_bytes // max(1, batch.nbytes))
        for begin in range(0, batch.num_rows, rows):
            waiting.append(batch.slice(begin, rows))
            size += waiting[-1].nbytes
            if size >= chunk_bytes:
                yield pa.concat_batches(waiting)
                waiting, size = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


def message_lines(batch: pa.RecordBatch) -> Lines:
    """Lines of Kafka messages; `batch` has topic, partition, offset and value, a newline appended to each value."""
    return _value_lines(batch, ("topic", "partition", "offset"))


def text_lines(batch: pa.RecordBatch) -> Lines:
    """Lines that Spark has read; `batch` has file and value, a newline appended to each value. Origins: the files."""
    return _value_lines(batch, ("file",))


def _value_lines(batch: pa.RecordBatch, origin: tuple[str, ...]) -> Lines:
    column = batch.column("value")
    values = column.cast(pa.large_binary()) if not pa.types.is_large_binary(column.type) else column
    present = pc.is_valid(values)
    batch = batch.filter(present)
    values = values.filter(present)
    starts = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    data = values.buffers()[2] or pa.py_buffer(b"")
    buffer = data.slice(int(starts[0]), int(starts[-1] - starts[0])) if len(values) else b""

    def origins(offsets: np.ndarray) -> pa.Array:
        rows = pa.array(np.searchsorted(starts - starts[0], offsets, side="right") - 1)
        parts = [batch.column(name).take(rows).cast(pa.string()) for name in origin]
        return pc.binary_join_element_wise(*parts, "/")

    return Lines(buffer, origins)
