"""Small files of a table put together, partition by partition, where there is something to gain."""

from collections.abc import Iterator
from functools import partial
from math import ceil

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.contracts.tables import TABLES
from serverload.store.delta_tables import DeltaTables
from serverload.store.pinned_table import until_committed

FILE_BYTES = 32 * 1024 * 1024
"""Files become about so large: late data makes us write at most so much again for each stretch of time it comes to."""


def file_count(size: float) -> int:
    """How many files to make of so many bytes."""
    return max(1, ceil(size / FILE_BYTES))


def is_gain(files: int, becoming: int) -> bool:
    """Tell whether fewer files are worth the writing: less than half, so that no row is written over and over."""
    return files > 2 * becoming


def in_files(name: str, rows: DataFrame, count: int) -> DataFrame:
    """Rows arranged for so many files (a partition), each with a stretch of time of its own, sorted by it."""
    table = TABLES[name]
    times = [column.name for column in table.columns if column.type == "TIMESTAMP" and column.name in table.key]
    order = [*times, *(column for column in table.key if column not in times)]
    return rows.select(*table.column_names).repartitionByRange(count, *order).sortWithinPartitions(*order)


def pack_files(tables: DeltaTables, name: str) -> None:
    """Put small files of a table together; every row stays as it is. Each partition is a commit of its own."""
    small = f"size < {FILE_BYTES // 2}"
    for place in _crowded(tables, name, small):
        until_committed(name, partial(_pack, tables, name, f"{small} AND {place}"))


def _crowded(tables: DeltaTables, name: str, small: str) -> Iterator[str]:
    """SQL conditions of the partitions with more small files than they need."""
    columns = TABLES[name].partition_by
    places = [F.col("partitionValues")[column].alias(column) for column in columns]
    sizes = tables.pinned(name).files(small).groupBy(*places).agg(F.count("path"), F.sum("size")).collect()
    for *place, files, size in sorted(sizes):
        if is_gain(files, file_count(size or 0)):
            yield " AND ".join(["true", *(_is(column, part) for column, part in zip(columns, place, strict=True))])


def _is(column: str, part: str) -> str:
    return f"partitionValues['{column}'] = '{part}'"


def _pack(tables: DeltaTables, name: str, condition: str) -> None:
    pinned = tables.pinned(name)
    size = pinned.files(condition).agg(F.sum("size")).collect()[0][0]
    if size:
        pinned.commit(condition, pinned.written(in_files(name, pinned.rows(condition), file_count(size))))
