"""Data files of a Delta table, written from Arrow by the worker that has the rows.

A value at a time, as Spark writes Parquet, takes most of a backfill; whole columns take a tenth of that.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
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
"""A data file: its path in the table, the value of the partition column (null without one), bytes, and Delta's
statistics as JSON."""

_WAITING_BYTES = 32 * 1024 * 1024
"""Rows wait for others of their partition until there is so much of all together."""


def write_files(
    folder: str, partition_by: str | None, bounded: Sequence[str], tables: Iterable[pa.Table]
) -> Iterator[pa.RecordBatch]:
    """Write tables into Parquet files, one a value of the partition column; yields a row of FILES_SCHEMA for each.

    Without a partition column it is one file. The files belong to the Delta table in `folder` once these rows are
    committed; if writing fails they are removed. `bounded` names the columns whose bounds Delta is told. Memory: twice
    32 MiB of rows, and one table.
    """
    made: dict[str | None, _DataFile] = {}
    waiting = list[pa.Table]()
    try:
        for rows in tables:
            waiting.append(rows)
            if sum(table.nbytes for table in waiting) >= _WAITING_BYTES:
                _write(folder, partition_by, bounded, made, waiting)
                waiting.clear()
        _write(folder, partition_by, bounded, made, waiting)
        files = [{"partition": name, **file.closed(Path(folder))} for name, file in made.items()]
    except BaseException:
        for file in made.values():
            file.path.unlink(missing_ok=True)
        raise
    yield from pa.Table.from_pylist(files, FILES_SCHEMA).to_batches()


def _write(
    folder: str,
    partition_by: str | None,
    bounded: Sequence[str],
    made: dict[str | None, "_DataFile"],
    tables: Sequence[pa.Table],
) -> None:
    if not tables:
        return
    rows = pa.concat_tables(tables)
    for name, of_partition in _by_partition(rows, partition_by):
        if name not in made:
            place = Path(folder) if name is None else Path(folder, f"{partition_by}={name}")
            made[name] = _DataFile(place, of_partition.schema, bounded)
        made[name].write(of_partition)


def _by_partition(rows: pa.Table, partition_by: str | None) -> Iterator[tuple[str | None, pa.Table]]:
    """The rows of each value of the partition column, without it."""
    if partition_by is None:
        yield None, rows
        return
    partition = rows[partition_by].combine_chunks().dictionary_encode()
    number = partition.indices.to_numpy()
    order = np.argsort(number, kind="stable")
    ordered = rows.drop_columns(partition_by).take(pa.array(order))
    bounds = np.searchsorted(number[order], np.arange(len(partition.dictionary) + 1)).tolist()
    for name, begin, end in zip(partition.dictionary.to_pylist(), bounds[:-1], bounds[1:], strict=True):
        yield name, ordered.slice(begin, end - begin)


class _DataFile:
    """One Parquet file while it is written, with the bounds of its columns so far."""

    def __init__(self, folder: Path, schema: pa.Schema, bounded: Sequence[str]) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / f"part-{uuid.uuid4()}.zstd.parquet"
        # sums hardly repeat: to look for repeats takes longer than it saves room
        repeating = [name for name in schema.names if name not in MEASURES]
        self._parquet = pq.ParquetWriter(self.path, schema, compression="zstd", use_dictionary=repeating)
        self._rows = 0
        self._bounds: dict[str, list[Any]] = {name: [] for name in bounded}
        self._nulls = dict.fromkeys(bounded, 0)

    def write(self, rows: pa.Table) -> None:
        self._parquet.write_table(rows)
        self._rows += rows.num_rows
        for name, seen in self._bounds.items():
            seen.extend(bound for bound in pc.min_max(rows[name]).as_py().values() if bound is not None)
            self._nulls[name] += rows[name].null_count

    def closed(self, table: Path) -> dict[str, Any]:
        self._parquet.close()
        known = {name: seen for name, seen in self._bounds.items() if seen}
        stats = {
            "numRecords": self._rows,
            "minValues": {name: _plain(min(seen)) for name, seen in known.items()},
            "maxValues": {name: _plain(max(seen), timedelta(microseconds=999)) for name, seen in known.items()},
            "nullCount": self._nulls,
        }
        path = str(self.path.relative_to(table))
        return {"path": path, "size": self.path.stat().st_size, "stats": json.dumps(stats)}


def _plain(bound: Any, rounding: timedelta = timedelta()) -> Any:
    """As Delta writes it: times in whole milliseconds, so that a largest one has to be rounded up."""
    if not isinstance(bound, datetime):
        return bound
    bound += rounding
    return f"{bound:%Y-%m-%dT%H:%M:%S}.{bound.microsecond // 1000:03d}Z"
