"""The event kernel over lines gives three things: window sums, rejects and counts, as tagged Arrow rows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serverload.contracts.lines import MEASURES
from serverload.steps.event_kernel import EventKernel, KernelResult, LineCounts, LineRules

_WINDOW_TYPES: list[tuple[str, pa.DataType]] = [
    ("server_ip", pa.string()),
    ("window_start", pa.timestamp("us", "UTC")),
    ("sessions", pa.int64()),
    *((name, pa.int64()) for name in MEASURES),
    ("last_event", pa.timestamp("us", "UTC")),
    ("server_type", pa.int32()),
    ("server_type_at", pa.timestamp("us", "UTC")),
]
_REJECT_TYPES: list[tuple[str, pa.DataType]] = [("line", pa.string()), ("reason", pa.string()), ("origin", pa.string())]
_COUNT_TYPES: list[tuple[str, pa.DataType]] = [
    *((name, pa.int64()) for name in ("read", "accepted", "rejected", "skipped")),
    ("rejected_by_reason", pa.map_(pa.string(), pa.int64())),
    ("repaired_by_field", pa.map_(pa.string(), pa.int64())),
    ("first_event", pa.timestamp("us", "UTC")),
]
WINDOW, REJECT, COUNT = "window", "reject", "count"
ALL_KINDS = frozenset((WINDOW, REJECT, COUNT))
TAGGED_SCHEMA = pa.schema([("kind", pa.string()), *_WINDOW_TYPES, *_REJECT_TYPES, *_COUNT_TYPES])
TAGGED_DDL = ", ".join(
    [
        "kind STRING, server_ip STRING, window_start TIMESTAMP, sessions BIGINT",
        *(f"{name} BIGINT" for name in MEASURES),
        "last_event TIMESTAMP, server_type INT, server_type_at TIMESTAMP, line STRING, reason STRING, origin STRING",
        "read BIGINT, accepted BIGINT, rejected BIGINT, skipped BIGINT",
        "rejected_by_reason MAP<STRING, BIGINT>, repaired_by_field MAP<STRING, BIGINT>, first_event TIMESTAMP",
    ]
)
"""Rows of kind window (micros), reject and count; columns of the other kinds are null."""

Origins = Callable[[np.ndarray], pa.Array]


@dataclass(frozen=True)
class Lines:
    """Newline-ended bytes, and the origin (text) of the lines at given byte offsets of them."""

    buffer: pa.Buffer | memoryview | bytes
    origins: Origins


def tagged_rows(
    rules: LineRules, chunks: Iterable[Lines], kinds: frozenset[str] = ALL_KINDS
) -> Iterator[pa.RecordBatch]:
    """Run the event kernel over chunks of lines; yields windows and rejects a chunk, and one row of counts.

    Only rows of `kinds` are handed out: it is cheaper to read a file twice than to keep its windows.
    """
    kernel = EventKernel(rules)
    counts = LineCounts()
    for chunk in chunks:
        result = kernel.run(chunk.buffer)
        counts += result.counts
        yield from _rows_of(result, chunk.origins, kinds)
    if COUNT in kinds:
        yield _tagged(COUNT, 1, _count_columns(counts))


def _rows_of(result: KernelResult, origins: Origins, kinds: frozenset[str]) -> Iterator[pa.RecordBatch]:
    if WINDOW in kinds and result.windows.num_rows:
        windows = result.windows.combine_chunks()
        yield _tagged(WINDOW, windows.num_rows, {name: _array(windows[name]) for name in windows.column_names})
    if REJECT in kinds and result.rejects.num_rows:
        rejects = result.rejects.combine_chunks()
        columns = {name: _array(rejects[name]) for name in ("line", "reason")}
        columns["origin"] = origins(rejects["offset"].to_numpy())
        yield _tagged(REJECT, rejects.num_rows, columns)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _count_columns(counts: LineCounts) -> dict[str, pa.Array]:
    row = {
        "read": counts.read,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "skipped": counts.skipped,
        "rejected_by_reason": list(counts.rejected_by_reason.items()),
        "repaired_by_field": list(counts.repaired_by_field.items()),
        "first_event": counts.first_event,
        "last_event": counts.last_event,
    }
    return {name: pa.array([entry], TAGGED_SCHEMA.field(name).type) for name, entry in row.items()}


def _tagged(kind: str, rows: int, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    tag = pa.repeat(pa.scalar(kind), rows)
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in TAGGED_SCHEMA
    ]
    return pa.RecordBatch.from_arrays([tag, *arrays[1:]], schema=TAGGED_SCHEMA)


def file_lines(uri: str, base_offset: int, buffer: pa.Buffer | memoryview | bytes) -> Lines:
    """Lines of a file from a byte offset on; origins are `uri:offset`."""

    def origins(offsets: np.ndarray) -> pa.Array:
        return pa.array([f"{uri}:{base_offset + int(offset)}" for offset in offsets], pa.string())

    return Lines(buffer, origins)


def message_lines(batch: pa.RecordBatch) -> Lines:
    """Lines of Kafka messages; `batch` has topic, partition, offset and value, a newline appended to each value."""
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
        parts = [batch.column(name).take(rows).cast(pa.string()) for name in ("topic", "partition", "offset")]
        return pc.binary_join_element_wise(*parts, "/")

    return Lines(buffer, origins)
