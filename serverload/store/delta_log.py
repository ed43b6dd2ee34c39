"""What a Delta table's commits say: which files came with data, and what a commit noted."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from serverload.store.java_classes import java_class


@dataclass(frozen=True)
class DataFile:
    """A data file: path relative to the table, bytes, and its partition values."""

    path: str
    size: int
    partition: dict[str, str]


@dataclass(frozen=True)
class Commit:
    """One commit: version, the user's note, and the files whose data it added or took away."""

    version: int
    note: dict[str, Any]
    files: tuple[DataFile, ...]
    removed: tuple[DataFile, ...]


class DeltaLog:
    """The commit files of one table, read by Hadoop's file system, so on any store."""

    def __init__(self, spark: SparkSession, table_path: str) -> None:
        self._spark, self._java_path = spark, java_class(spark, "org.apache.hadoop.fs.Path")
        self._table, self._folder = table_path, f"{table_path}/_delta_log"
        path: Any = self._java_path(self._folder)
        self._files: Any = path.getFileSystem(cast(Any, spark._jsc).hadoopConfiguration())
        self._newest_seen = -1

    def latest_version(self) -> int:
        """The newest version, -1 without a table. The first call lists the log, later ones walk on from there."""
        newest = self._newest_seen
        if newest < 0 or not self._has(newest):
            newest = max(self._listed(), default=-1)
        while newest >= 0 and self._has(newest + 1):
            newest += 1
        self._newest_seen = newest
        return newest

    def commit(self, version: int) -> Commit | None:
        """Read one commit, or None where log retention has removed it."""
        text = self._text(version)
        if text is None:
            return None
        actions = [json.loads(line) for line in text.splitlines() if line]
        info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
        added, removed = (tuple(_data_files(actions, kind)) for kind in ("add", "remove"))
        return Commit(version, _parsed_note(info.get("userMetadata")), added, removed)

    def still_there(self, files: Iterable[DataFile]) -> bool:
        """Tell whether all these data files exist: VACUUM deletes what a later version has replaced for long."""
        return all(self._files.exists(self._java_path(f"{self._table}/{file.path}")) for file in files)

    def bytes_on_disk(self) -> int:
        """The bytes of all that lies in the table's folder: every version's files, the log, what was left behind."""
        return int(self._files.getContentSummary(self._java_path(self._table)).getLength())

    def newest_first(self, version: int, limit: int = 1000) -> Iterator[Commit]:
        """Yield commits from a version back, until one is gone."""
        for number in range(version, max(-1, version - limit), -1):
            commit = self.commit(number)
            if commit is None:
                return
            yield commit

    def has_file(self, uri: str) -> bool:
        """Tell whether a data file, by its full address, is there."""
        return bool(self._files.exists(self._java_path(java_class(self._spark, "java.net.URI")(uri))))

    def _path(self, version: int) -> Any:
        return self._java_path(f"{self._folder}/{version:020d}.json")

    def _has(self, version: int) -> bool:
        return bool(self._files.exists(self._path(version)))

    def _text(self, version: int) -> str | None:
        try:
            stream = self._files.open(self._path(version))
        except Py4JJavaError as error:
            if "FileNotFoundException" in str(error.java_exception):
                return None
            raise
        try:
            return str(java_class(self._spark, "org.apache.commons.io.IOUtils").toString(stream, "UTF-8"))
        finally:
            stream.close()

    def _listed(self) -> list[int]:
        folder = self._java_path(self._folder)
        if not self._files.exists(folder):
            return []
        names = [status.getPath().getName() for status in self._files.listStatus(folder)]
        return [int(name[:20]) for name in names if len(name) == 25 and name.endswith(".json") and name[:20].isdigit()]


def _data_files(actions: Iterable[dict[str, Any]], kind: str) -> Iterator[DataFile]:
    for file in (action[kind] for action in actions if kind in action):
        if file["dataChange"]:
            yield DataFile(unquote(file["path"]), file.get("size", 0), file.get("partitionValues", {}))


def _parsed_note(text: str | None) -> dict[str, Any]:
    try:
        note = json.loads(text) if text else {}
    except json.JSONDecodeError:
        return {}
    return note if isinstance(note, dict) else {}
