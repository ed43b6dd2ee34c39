"""One version of a Delta table: its files, their rows, and a commit that puts other files with the same data there."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
)
from pyspark.sql import DataFrame, SparkSession

from serverload.contracts.errors import StoreError
from serverload.store.java_classes import java_class
from serverload.store.locks import held_for_home

_ATTEMPTS = 3
CONFLICTS = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
)
"""What Delta raises where another job has replaced files that a commit replaces or has read."""

AddedFile = dict[str, Any]
"""A data file as the log has it: `path`, `size`, `partitionValues`, `stats` (Delta's, as JSON)."""


class PinnedTable:
    """A table as it stood when this was made; what is appended meanwhile stays, whatever is committed here.

    Delta has no other way to replace the files of a known version: `replaceWhere` replaces what is there when it
    begins to write, so that rows appended since they were read would be lost. These are the calls of its OPTIMIZE.
    """

    def __init__(self, spark: SparkSession, home: str, name: str) -> None:
        self._spark, self._home, self._name = spark, home, name
        self._log = self._java("org.apache.spark.sql.delta.DeltaLog").forTable(
            cast(Any, spark)._jsparkSession, f"{home}/tables/{name}"
        )
        self._transaction = self._log.startTransaction()
        self._snapshot = self._transaction.snapshot()

    def files(self, condition: str = "true") -> DataFrame:
        """The files that meet an SQL condition on `path`, `size`, `partitionValues` (map) and `stats` (JSON)."""
        return DataFrame(self._snapshot.allFiles().toDF(), self._spark).where(condition)

    def rows(self, condition: str) -> DataFrame:
        """The rows of these files."""
        files = self._java("org.apache.spark.api.python.PythonUtils").toSeq(self._listed(condition))
        return DataFrame(self._log.createDataFrame(self._snapshot, files, False, self._none()), self._spark)

    def mark(self, name: str) -> int | None:
        """The number that a commit has left under a name."""
        known = self._snapshot.transactions().get(name)
        return known.get() if known.isDefined() else None

    def written(self, rows: DataFrame) -> list[AddedFile]:
        """Write rows into files; until they are committed they are no part of the table, and VACUUM's after a crash."""
        added = self._transaction.writeFiles(rows._jdf)
        return [json.loads(added.apply(number).json())["add"] for number in range(added.length())]

    def commit(self, replaced: str, added: list[AddedFile], marks: Mapping[str, int] | None = None) -> None:
        """Put files with the same data in the place of those that meet a condition, and leave marks: one commit.

        It says that no data has changed, so that nothing is computed again because of it. Marks are kept by Delta
        as transaction ids: they outlive the log. Raises Delta's ConcurrentDeleteDeleteException if a file to be
        replaced is there no more, StoreError if another process works on the table all the while.
        """
        now = int(time.time() * 1000)
        actions = self._java("java.util.ArrayList")()
        for file in self._listed(replaced):
            actions.add(file.removeWithTimestamp(now, False))
        for made in added:
            actions.add(
                self._java("org.apache.spark.sql.delta.actions.Action").fromJson(
                    json.dumps({"add": {**made, "dataChange": False}})
                )
            )
        for name, number in (marks or {}).items():
            at = self._java("scala.Option").apply(now)
            actions.add(self._java("org.apache.spark.sql.delta.actions.SetTransaction")(name, number, at))
        to_seq = self._java("org.apache.spark.api.python.PythonUtils").toSeq
        nothing = to_seq(self._java("java.util.ArrayList")())
        optimize = self._java("org.apache.spark.sql.delta.DeltaOperations$Optimize")
        operation = optimize(nothing, nothing, False, self._none(), False)
        with held_for_home(self._home, f"table-{self._name}"):
            self._transaction.commit(to_seq(actions), operation)

    def trim_log(self) -> None:
        """Write a checkpoint, and delete commits and checkpoints that are older than the table keeps them.

        Delta Kernel, which commits what a local stream appends, writes checkpoints but deletes nothing.
        """
        with held_for_home(self._home, f"table-{self._name}"):
            self._log.checkpoint(self._snapshot, self._none())

    def _listed(self, condition: str) -> Any:
        return self._snapshot.allFiles().where(condition).collectAsList()

    def _none(self) -> Any:
        return self._java("scala.Option").empty()

    def _java(self, name: str) -> Any:
        return java_class(self._spark, name)


def until_committed(name: str, attempt: Callable[[], None]) -> None:
    """Try again, from the newest version, where another job replaced the same files; StoreError after a few times."""
    for _ in range(_ATTEMPTS):
        try:
            return attempt()
        except CONFLICTS as error:
            conflict = error
    raise StoreError(
        "its files are replaced again and again by another job", where=name, hint="run it again later"
    ) from conflict
