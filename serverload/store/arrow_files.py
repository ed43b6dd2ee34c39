"""Data files for a table, from Arrow: written by Spark's tasks, or here for a few rows. Nothing is committed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from serverload.contracts.tables import Table
from serverload.steps.python_workers import spare_what_is_loaded
from serverload.store.data_files import FILES_DDL, write_files

ArrowTables = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.Table]]


def arrow_schema(table: Table) -> pa.Schema:
    """The columns of a table, as Spark gives them to Arrow."""
    return to_arrow_schema(cast(StructType, StructType.fromDDL(table.ddl)), timezone="UTC")


def arrow_rows(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A few rows, by column, with the types of the table."""
    plain = [{name: _entries(row[name]) for name in table.column_names} for row in rows]
    return pa.Table.from_pylist(plain, arrow_schema(table))


def files_of_tasks(table: Table, folder: str, rows: DataFrame, made: ArrowTables) -> list[Row]:
    """Let each Spark task write what `made` gives for its Arrow batches of rows; rows of FILES_SCHEMA."""
    writing = partial(_as_files, _fitting(table, made), folder, _partition(table), filtered_by(table))
    return rows.mapInArrow(writing, FILES_DDL).collect()


def files_of_rows(table: Table, folder: str, rows: pa.Table) -> list[dict[str, Any]]:
    """Write rows into files; rows of FILES_SCHEMA."""
    written = write_files(folder, _partition(table), filtered_by(table), [rows])
    files: list[dict[str, Any]] = pa.Table.from_batches(written).to_pylist()
    return files


def batches_of_tasks(table: Table, rows: DataFrame, made: ArrowTables) -> DataFrame:
    """What `made` gives for the Arrow batches of rows, as Spark's rows."""
    return rows.mapInArrow(partial(_as_batches, _fitting(table, made)), table.ddl)


def filtered_by(table: Table) -> tuple[str, ...]:
    """The columns that queries look for; the bounds of the others are not worth their time in each write."""
    bounded = [column.name for column in table.columns if column.type in {"TIMESTAMP", "BIGINT"}]
    return tuple(name for name in table.key if name in bounded and name not in table.partition_by)


def _partition(table: Table) -> str | None:
    if not table.partition_by:
        return None
    (column,) = table.partition_by
    return column


def _entries(entry: Any) -> Any:
    """A map as Arrow takes it."""
    return list(entry.items()) if isinstance(entry, Mapping) else entry


def _fitting(table: Table, made: ArrowTables) -> ArrowTables:
    """`made`, its columns in the order and with the types of the table."""
    return partial(_as_declared, made, arrow_schema(table))


def _as_declared(made: ArrowTables, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    return (rows.select(schema.names).cast(schema) for rows in made(batches))


def _as_batches(made: ArrowTables, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for rows in made(batches):
        yield from rows.to_batches()


def _as_files(
    made: ArrowTables, folder: str, partition: str | None, bounded: Sequence[str], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    yield from write_files(folder, partition, bounded, made(batches))
    spare_what_is_loaded("files")
