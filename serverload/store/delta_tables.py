"""The Delta tables of a home: reading, and writing in ways that a retry cannot double."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, DataFrameWriter, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from serverload.contracts.errors import StoreError
from serverload.contracts.homes import is_local
from serverload.contracts.tables import TABLES, Table
from serverload.store.arrow_files import (
    ArrowTables,
    arrow_rows,
    batches_of_tasks,
    files_of_rows,
    files_of_tasks,
    filtered_by,
)
from serverload.store.delta_kernel import Transaction, commit_files, is_committed
from serverload.store.delta_log import DeltaLog
from serverload.store.locks import held_for_home
from serverload.store.pinned_table import CONFLICTS, PinnedTable

_PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.checkpointPolicy": "classic",
    "delta.minReaderVersion": "1",
    "delta.minWriterVersion": "2",
    "delta.logRetentionDuration": "interval 7 days",  # a stream commits every other second; as long as VACUUM's
}
NO_VERSION = -1
"""The version of a table that has not been made; as such it reads as an empty one."""

_NOTE = "spark.databricks.delta.commitInfo.userMetadata"
_VACUUM = {
    "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",  # else the hours given mean nothing
    "spark.databricks.delta.vacuum.logging.enabled": "false",
}


class DeltaTables:
    """The tables under `<home>/tables`, each as contracts.tables says."""

    def __init__(self, spark: SparkSession, home: str) -> None:
        self.spark = spark
        self.home = home
        self._logs: dict[str, DeltaLog] = {}
        self._completed = set[str]()

    def path(self, name: str) -> str:
        """Address of a table's folder."""
        return f"{self.home}/tables/{name}"

    def log(self, name: str) -> DeltaLog:
        """The commits of a table."""
        return self._logs.setdefault(name, DeltaLog(self.spark, self.path(name)))

    def version(self, name: str) -> int:
        """The newest version of a table, -1 where there is none."""
        return self.log(name).latest_version()

    def identity(self, name: str) -> str:
        """The id that a table got when it was made (made now, if need be); a table made anew has another."""
        self.create(name)
        row = DeltaTable.forPath(self.spark, self.path(name)).detail().select("id").head()
        assert row is not None
        return str(row["id"])

    def read(self, name: str) -> DataFrame:
        """The table as it stands now; an empty frame where it has not been made."""
        if self.version(name) < 0:
            return self.spark.createDataFrame([], TABLES[name].ddl)
        return _as_declared(name, self.spark.read.format("delta").load(self.path(name)))

    def read_version(self, name: str, version: int) -> DataFrame:
        """The table as it stood at a version; an empty frame for NO_VERSION."""
        if version == NO_VERSION:
            return self.spark.createDataFrame([], TABLES[name].ddl)
        return _as_declared(name, self.spark.read.format("delta").option("versionAsOf", version).load(self.path(name)))

    def read_files(self, name: str, files: list[str]) -> DataFrame:
        """Rows of single data files (relative paths, as a commit names them), partition columns included."""
        reader = self.spark.read.schema(TABLES[name].ddl).option("basePath", self.path(name))
        return reader.parquet(*(f"{self.path(name)}/{file}" for file in files))

    def pinned(self, name: str) -> PinnedTable:
        """The table as it stands now, to put its data into other files."""
        return PinnedTable(self.spark, self.home, name)

    def create(self, name: str) -> None:
        """Make an empty table unless it exists; one from before a column was there gets the column.

        Raises StoreError where a column of the table has another type.
        """
        if self.version(name) >= 0:
            self._complete(name)
            return
        table = TABLES[name]
        with held_for_home(self.home, f"table-{name}"):
            builder = DeltaTable.createIfNotExists(self.spark).location(self.path(name))
            for column in table.columns:
                builder = builder.addColumn(column.name, column.type, comment=column.comment)
            for key, entry in {**_PROPERTIES, "delta.dataSkippingStatsColumns": ",".join(filtered_by(table))}.items():
                builder = builder.property(key, entry)
            builder.partitionedBy(*table.partition_by).execute()

    def _complete(self, name: str) -> None:
        if name in self._completed:
            return
        there = self.spark.read.format("delta").load(self.path(name))
        _as_declared(name, there)
        missing = [column for column in TABLES[name].columns if column.name not in there.columns]
        if missing:
            added = ", ".join(f"{column.name} {column.type}" for column in missing)
            with held_for_home(self.home, f"table-{name}"):
                self.spark.sql(f"ALTER TABLE delta.`{self.path(name)}` ADD COLUMNS ({added})")
        self._completed.add(name)

    def append(
        self, name: str, rows: DataFrame, transaction: Transaction | None = None, note: Mapping[str, Any] | None = None
    ) -> None:
        """Append rows; under a transaction that has been committed before, do nothing."""
        writer = self._writer(name, rows, note).mode("append")
        if transaction:
            writer = writer.option("txnAppId", transaction.application_id).option(
                "txnVersion", str(transaction.version)
            )
        with held_for_home(self.home, f"table-{name}"):
            writer.save(self.path(name))

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]], transaction: Transaction | None = None) -> None:
        """Append a few rows, by column; under a transaction that has been committed before, do nothing.

        In a local home without a Spark job, which would take longer than all the rest of it.
        """
        made = arrow_rows(TABLES[name], rows)
        if is_local(self.home):
            self._commit_files(name, lambda: files_of_rows(TABLES[name], self.path(name), made), transaction)
        else:
            self.append(name, self.spark.createDataFrame(made), transaction)

    def append_arrow(self, name: str, rows: DataFrame, made: ArrowTables, transaction: Transaction) -> None:
        """Append what `made` gives for the Arrow batches of rows, in each Spark task by itself.

        In a local home the tasks write the files themselves, which is many times faster than through Spark's rows.
        """
        table = TABLES[name]
        if is_local(self.home):
            self._commit_files(name, lambda: files_of_tasks(table, self.path(name), rows, made), transaction)
        else:
            self.append(name, batches_of_tasks(table, rows, made), transaction)

    def _commit_files(
        self, name: str, written: Callable[[], Sequence[Row | Mapping[str, Any]]], transaction: Transaction | None
    ) -> None:
        """Add the files that `written` makes, unless the transaction has been committed before."""
        self.create(name)
        with held_for_home(self.home, f"table-{name}"):
            if transaction is None or not self.is_committed(name, transaction):
                commit_files(self.spark, self.path(name), written(), transaction)

    def is_committed(self, name: str, transaction: Transaction) -> bool:
        """Tell whether a table has a write, or a later one of the same application, already."""
        if self.version(name) < 0:
            return False
        return is_committed(self.spark, self.path(name), transaction)

    def replace(self, name: str, rows: DataFrame, condition: str | None, note: Mapping[str, Any] | None = None) -> None:
        """Replace the rows that meet an SQL condition (None: all rows) in one commit."""
        writer = self._writer(name, rows, note).mode("overwrite")
        writer = writer.option("replaceWhere", condition) if condition else writer
        with self._replacing(name):
            writer.save(self.path(name))

    def merge(self, name: str, rows: DataFrame, pruning: str | None, note: Mapping[str, Any]) -> None:
        """Update the rows that have an equal key and add the others; `pruning` bounds the target (alias `old`)."""
        self.create(name)
        condition = " AND ".join(f"old.{key} = new.{key}" for key in TABLES[name].key)
        condition = f"{condition} AND {pruning}" if pruning else condition
        with self._replacing(name), self._configured({_NOTE: json.dumps(note)}):
            target = DeltaTable.forPath(self.spark, self.path(name)).alias("old")
            merge = target.merge(self._checked(name, rows).alias("new"), condition)
            ours = {column: f"new.{column}" for column in TABLES[name].column_names}
            merge.whenMatchedUpdate(set=ours).whenNotMatchedInsert(values=ours).execute()

    def vacuum(self, name: str, retain_hours: int) -> None:
        """Delete the files that no version of the last hours (at least 168) needs, and what killed tasks left.

        It commits nothing, so it needs no lock. Raises what Spark raises for fewer hours.
        """
        with self._configured(_VACUUM):
            DeltaTable.forPath(self.spark, self.path(name)).vacuum(float(retain_hours))

    def newest_note(self, name: str, key: str) -> Any:
        """What the newest commit that noted `key` said; None without one."""
        for commit in self.log(name).newest_first(self.version(name)):
            if key in commit.note:
                return commit.note[key]
        return None

    def _writer(self, name: str, rows: DataFrame, note: Mapping[str, Any] | None) -> DataFrameWriter:
        self.create(name)
        writer = self._checked(name, rows).write.format("delta")
        return writer.option("userMetadata", json.dumps(note)) if note else writer

    def _checked(self, name: str, rows: DataFrame) -> DataFrame:
        table = TABLES[name]
        ordered = rows.select(*table.column_names)
        if _types(ordered.schema) != _types(_schema(table)):
            raise StoreError(f"rows of {_difference(ordered.schema, table)} do not fit the table", where=name)
        return ordered

    @contextmanager
    def _replacing(self, name: str) -> Iterator[None]:
        """Hold the table's lock; where there are none, tell in one line what another job has been quicker in."""
        with held_for_home(self.home, f"table-{name}"):
            try:
                yield
            except CONFLICTS as error:
                what = "its files were replaced by another job meanwhile"
                raise StoreError(what, where=name, hint="run it again") from error

    @contextmanager
    def _configured(self, entries: Mapping[str, str]) -> Iterator[None]:
        for key, entry in entries.items():
            self.spark.conf.set(key, entry)
        try:
            yield
        finally:
            for key in entries:
                self.spark.conf.unset(key)


def _as_declared(name: str, rows: DataFrame) -> DataFrame:
    """The columns that contracts.tables names: others are somebody else's, and one that is not there yet is null."""
    there = dict(_types(rows.schema))
    declared = dict(_types(_schema(TABLES[name])))
    for column, of_type in declared.items():
        if there.get(column, of_type) != of_type:
            raise StoreError(
                f"column {column} is of type {there[column]}, not {of_type}: another program has changed the table",
                where=name,
                hint="see `A table that another program has changed` in docs/runbook.md",
            )
    absent = {column: F.lit(None).cast(of_type) for column, of_type in declared.items() if column not in there}
    return rows.withColumns(absent).select(*declared)


def _types(schema: StructType) -> list[tuple[str, str]]:
    return [(field.name, field.dataType.simpleString()) for field in schema]


def _difference(schema: StructType, table: Table) -> str:
    expected = _types(_schema(table))
    odd = [f"{got[0]} {got[1]}" for got, want in zip(_types(schema), expected, strict=True) if got != want]
    return ", ".join(odd)


def _schema(table: Table) -> StructType:
    return cast(StructType, StructType.fromDDL(table.ddl))
