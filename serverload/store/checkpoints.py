"""A stream's checkpoint as Spark keeps it: its id, and the time and offsets of each batch."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from serverload.contracts.errors import StoreError
from serverload.contracts.instants import from_micros
from serverload.store.hadoop_files import read_text, write_text

FORMAT = 1
"""What a checkpoint means to this program; another number belongs to another version of it."""

_OFFSET_LOG = "v1"
_HINT = "see `A checkpoint that does not fit` in docs/runbook.md"


class Checkpoint:
    """The checkpoint in a folder; everything is read from the folder when it is asked for."""

    def __init__(self, spark: SparkSession, folder: str) -> None:
        self._spark = spark
        self.folder = folder

    def claim(self, topic_id: str) -> None:
        """Mark a new checkpoint as one of this format and topic. Raises StoreError for one that is of another.

        One that no query has begun has read nothing: its mark, perhaps half written by a killed start, is made anew.
        """
        address = f"{self.folder}/serverload.json"
        if not self.begun:
            write_text(self._spark, address, json.dumps({"format": FORMAT, "topic_id": topic_id}))
            return
        mark = self._parsed(read_text(self._spark, address) or "{}", address)
        if mark.get("format") != FORMAT:
            what = f"was written by another version of serverload (format {mark.get('format', 0)}, not {FORMAT})"
            raise StoreError(what, where=self.folder, hint=_HINT)
        if mark.get("topic_id") != topic_id:
            raise StoreError("belongs to a topic that has been deleted and made anew", where=self.folder, hint=_HINT)

    @property
    def begun(self) -> bool:
        """Whether a query has been started on it."""
        return self._text("metadata") is not None

    @property
    def id(self) -> str:
        """The id that Spark gave it: a new checkpoint has a new one, so its writes are never skipped."""
        return str(self._parsed(self._wanted("metadata"), f"{self.folder}/metadata")["id"])

    def batch_time(self, batch_id: int) -> datetime:
        """The time of a planned batch, the same in a retry."""
        metadata, _offsets = self._batch(batch_id)
        return from_micros(int(metadata["batchTimestampMs"]) * 1000)

    def until_offsets(self, batch_id: int) -> dict[str, int]:
        """`topic/partition` to the offset that a planned batch ends before."""
        return _flat(self._batch(batch_id)[1])

    def first_offsets(self, batch_id: int) -> dict[str, int]:
        """`topic/partition` to the offset that a planned batch begins at; a partition that is not there is new."""
        if batch_id:
            return self.until_offsets(batch_id - 1)
        initial = self._wanted("sources/0/0")
        return _flat(self._parsed(initial[initial.index("{") :], f"{self.folder}/sources/0/0"))

    def _batch(self, batch_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
        name = f"offsets/{batch_id}"
        version, *rest = self._wanted(name).split("\n")
        if version != _OFFSET_LOG or len(rest) < 2:
            raise StoreError(
                f"is not an offset log of Spark ({_OFFSET_LOG})", where=f"{self.folder}/{name}", hint=_HINT
            )
        metadata, offsets = (self._parsed(line, f"{self.folder}/{name}") for line in rest[:2])
        return metadata, offsets

    def _text(self, name: str) -> str | None:
        return read_text(self._spark, f"{self.folder}/{name}")

    def _wanted(self, name: str) -> str:
        text = self._text(name)
        if not text:
            raise StoreError("is missing or empty", where=f"{self.folder}/{name}", hint=_HINT)
        return text

    def _parsed(self, text: str, where: str) -> dict[str, Any]:
        try:
            parsed = json.loads(text)
        except json.JSONDecodeError as error:
            raise StoreError("is damaged", where=where, hint=_HINT) from error
        if not isinstance(parsed, dict):
            raise StoreError("is damaged", where=where, hint=_HINT)
        return parsed


def _flat(topics: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {f"{topic}/{number}": offset for topic, numbers in topics.items() for number, offset in numbers.items()}
