"""Data files of a Delta table, written from Arrow by the worker that has the rows.

A value at a time, as Spark writes Parquet, takes most of a backfill; whole columns take a tenth of that.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serverload.contracts.lines import MEASURES

FILES_SCHEMA = pa.schema(
    [("path", pa.string()), ("partition", pa.string()), ("size", pa.int64()), ("stats", pa.string())]
)
FILES_DDL = "path STRING, partition STRING, size BIGINT, stats STRING"
"""A data file: its path in the table, the value of the partition column, bytes, and Delta's statistics as JSON."""

_WAITING_BYTES = 64 * 1024 * 1024
"""Rows wait for others of their partition until there is so much of all together."""


def write_files(
    folder: str,
    partition_by: str,
    bounded: Sequence[str],
    tables: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.Table]],
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Write what `tables` makes of the batches into Parquet files, one a value of the partition column.

    Yields a row of FILES_SCHEMA for each; the files belong to the table once these are committed. `bounded` names the
    columns whose bounds Delta keeps. Memory: 64 MiB of rows, and one table.
    """
    files: dict[str, _DataFile] = {}
    waiting, waiting_bytes = list[pa.Table](), 0
    for rows in tables(batches):
        waiting.append(rows)
        waiting_bytes += rows.nbytes
        if waiting_bytes >= _WAITING_BYTES:
            _write(folder, partition_by, bounded, waiting, files)
            waiting, waiting_bytes = [], 0
    _write(folder, partition_by, bounded, waiting, files)
    yield from pa.Table.from_pylist([file.closed() for file in files.values()], FILES_SCHEMA).to_batches()


def _write(
    folder: str, partition_by: str, bounded: Sequence[str], waiting: list[pa.Table], files: dict[str, "_DataFile"]
) -> None:
    if not waiting:
        return
    rows = pa.concat_tables(waiting)
    partition = rows[partition_by].combine_chunks().dictionary_encode()
    order = np.argsort(partition.indices.to_numpy(), kind="stable")
    bounds = np.searchsorted(partition.indices.to_numpy()[order], np.arange(len(partition.dictionary) + 1)).tolist()
    ordered = rows.drop_columns(partition_by).take(pa.array(order))
    for number, name in enumerate(partition.dictionary.to_pylist()):
        if name not in files:
            files[name] = _DataFile(Path(folder, f"{partition_by}={name}"), name, ordered.schema, bounded)
        files[name].write(ordered.slice(bounds[number], bounds[number + 1] - bounds[number]))


class _DataFile:
    """One Parquet file while it is written, with the bounds of its columns so far."""

    def __init__(self, folder: Path, partition: str, schema: pa.Schema, bounded: Sequence[str]) -> None:
        folder.mkdir(exist_ok=True)
        self._path, self._partition = folder / f"part-{uuid.uuid4()}.zstd.parquet", partition
        # sums hardly repeat: to look for repeats takes longer than it saves room
        repeating = [name for name in schema.names if name not in MEASURES]
        self._parquet = pq.ParquetWriter(self._path, schema, compression="zstd", use_dictionary=repeating)
        self._rows = 0
        self._bounds: dict[str, list[Any]] = {name: [] for name in bounded}

    def write(self, rows: pa.Table) -> None:
        self._parquet.write_table(rows)
        self._rows += rows.num_rows
        for name, seen in self._bounds.items():
            seen.extend(pc.min_max(rows[name]).as_py().values())

    def closed(self) -> dict[str, Any]:
        self._parquet.close()
        stats = {
            "numRecords": self._rows,
            "minValues": {name: _plain(min(seen)) for name, seen in self._bounds.items()},
            "maxValues": {name: _plain(max(seen)) for name, seen in self._bounds.items()},
            "nullCount": dict.fromkeys(self._bounds, 0),
        }
        return {
            "path": "/".join(self._path.parts[-2:]),
            "partition": self._partition,
            "size": self._path.stat().st_size,
            "stats": json.dumps(stats),
        }


def _plain(bound: Any) -> Any:
    """As Delta writes it; the times that are bounded are whole seconds."""
    return f"{bound:%Y-%m-%dT%H:%M:%S.000Z}" if isinstance(bound, datetime) else bound
