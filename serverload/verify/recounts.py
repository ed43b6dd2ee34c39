"""What batches give when their lines are read again, held against what the tables have of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import cast

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from serverload.contracts.lines import MEASURES
from serverload.contracts.tables import TABLES
from serverload.ingest import computed_once, load_window_rows
from serverload.steps.event_kernel import LineRules
from serverload.steps.ingest_rows import (
    COUNT,
    PACKED_DDL,
    REJECT,
    REJECTS_DDL,
    WINDOW,
    Lines,
    packed_rows,
    unpacked,
    unpacked_counts,
    unpacked_rejects,
)
from serverload.steps.windows import add_partials, window_sums
from serverload.store.home_snapshot import HomeSnapshot
from serverload.verify.checks import Check, comparable_map, compared

RECOUNT_DDL = f"{PACKED_DDL}, checkpoint_id STRING, batch_id BIGINT"
"""Packed rows of many batches."""

BATCHES_DDL = "checkpoint_id STRING, batch_id BIGINT"
_KEY = ["checkpoint_id", "batch_id"]
_COUNTED = ("read", "accepted", "rejected", "skipped")
_MAPS = ("rejected_by_reason", "repaired_by_field")
_EVENTS = ("first_event", "last_event")
_LOGGED = (*_KEY, *_COUNTED, *_MAPS, *_EVENTS)
_COUNTS_DDL = ", ".join(
    f"{column.name} {column.type}" for column in TABLES["ingest_log"].columns if column.name in _LOGGED
)
_REJECT = ["batch_id", "origin", "reason", "line"]
_SUMS = ["sessions", *MEASURES, "last_event", "server_type"]
GroupCounts = Callable[[tuple[pa.Scalar, ...], Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
Batches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]

_WINDOW = ["server_ip", "window_start", "batch_id"]


@dataclass(frozen=True)
class BatchName:
    """A batch of a source, without its time."""

    checkpoint_id: str
    batch_id: int


def recounted_rows(batch: BatchName, rules: LineRules, chunks: Iterable[Lines], parts: int) -> Iterator[pa.RecordBatch]:
    """Packed rows of the lines of one batch, with its name beside them: rows of RECOUNT_DDL."""
    for rows in packed_rows(rules, chunks, parts):
        checkpoint = pa.array([batch.checkpoint_id] * rows.num_rows, pa.string())
        number = pa.array([batch.batch_id] * rows.num_rows, pa.int64())
        yield rows.append_column("checkpoint_id", checkpoint).append_column("batch_id", number)


def recount_checks(
    tables: HomeSnapshot, source: str, recounted: DataFrame, batches: DataFrame, *, complete: bool
) -> Iterator[Check]:
    """Hold what was read again against log, rejects and window sums.

    `batches` (BATCHES_DDL) are those that `recounted` (RECOUNT_DDL) has all lines of; `complete` where that is every
    batch of the source.
    """
    with computed_once(recounted) as once:
        of_kind = {kind: once.where(F.col("kind") == kind) for kind in (COUNT, REJECT, WINDOW)}
        yield _counts_check(tables, source, of_kind[COUNT], batches)
        ids = batches.select("batch_id").distinct()
        yield _rejects_check(tables, source, of_kind[REJECT], ids)
        yield _windows_check(tables, source, of_kind[WINDOW], ids, complete)


def _counts_check(tables: HomeSnapshot, source: str, packed: DataFrame, batches: DataFrame) -> Check:
    counts = packed.groupBy(*_KEY).applyInArrow(_batch_counts(), _COUNTS_DDL)
    # a batch whose offsets hold no message any more has no row: it read nothing
    blank = {name: F.coalesce(name, F.lit(0).cast("bigint")) for name in _COUNTED}
    blank |= {name: F.coalesce(name, F.create_map().cast("map<string,bigint>")) for name in _MAPS}
    expected = batches.join(counts, _KEY, "left").withColumns(blank)
    logged = tables.read("ingest_log").where(F.col("source") == source).join(batches, _KEY, "left_semi")
    sides = [
        rows.select(*_LOGGED).withColumns({name: comparable_map(name) for name in _MAPS}) for rows in (expected, logged)
    ]
    return compared(f"{source}: counts of batches", sides[0], sides[1], _KEY)


def _batch_counts() -> GroupCounts:
    schema = _arrow_schema(_COUNTS_DDL)

    def of_batch(key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        values = (value.as_buffer() for batch in batches for value in batch.column("packed"))
        counts = asdict(unpacked_counts(values))
        row = {name: list(entry.items()) if isinstance(entry, dict) else entry for name, entry in counts.items()}
        row |= {"checkpoint_id": key[0].as_py(), "batch_id": key[1].as_py()}
        yield from pa.Table.from_pylist([row], schema).to_batches()

    return of_batch


def _rejects_check(tables: HomeSnapshot, source: str, packed: DataFrame, ids: DataFrame) -> Check:
    expected = packed.select("packed", "batch_id").mapInArrow(_batch_rejects, f"{REJECTS_DDL}, batch_id BIGINT")
    found = tables.read("rejects").where(F.col("source") == source).join(ids, "batch_id", "left_semi")
    return compared(f"{source}: refused lines", expected.select(*_REJECT), found.select(*_REJECT), _REJECT[:3])


def _batch_rejects(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for number in range(batch.num_rows):
            of_row = batch.slice(number, 1)
            for rows in unpacked_rejects([of_row]):
                yield rows.append_column("batch_id", pa.array(of_row.column("batch_id").to_pylist() * rows.num_rows))


def _windows_check(tables: HomeSnapshot, source: str, packed: DataFrame, ids: DataFrame, complete: bool) -> Check:
    """Per batch where the rows still name it; where `compact` has merged a day, per window, if all batches are read."""
    there = tables.read("load_windows").where(F.col("source") == source)
    merged = there.where("batch_id IS NULL").select(_day().alias("merged_day")).distinct()
    parts = packed.select("batch_id", "part", "packed").repartition("batch_id", "part")
    read_again = parts.sortWithinPartitions("batch_id", "part").mapInArrow(
        _batch_windows(source), TABLES["load_windows"].ddl
    )
    named = there.join(F.broadcast(ids), "batch_id", "left_semi").select(*there.columns)
    sides = [_merged_days(rows, merged) for rows in (read_again, named.unionByName(there.where("batch_id IS NULL")))]
    unchecked = ""
    if not complete:
        sides = [rows.where("batch_id IS NOT NULL") for rows in sides]
        days = merged.count()
        unchecked = f"{days} days that compact has merged, as not all batches can be read again" if days else ""
    sums = [window_sums(rows, "batch_id").select(*_WINDOW, *_SUMS) for rows in sides]
    return compared(f"{source}: window sums", sums[0], sums[1], _WINDOW, unchecked)


def _day() -> Column:
    return F.to_date("window_start")


def _merged_days(rows: DataFrame, merged: DataFrame) -> DataFrame:
    """The same rows, nameless on the days on which some are."""
    beside = rows.join(F.broadcast(merged), _day() == F.col("merged_day"), "left")
    return beside.withColumn("batch_id", F.when(F.col("merged_day").isNull(), F.col("batch_id"))).drop("merged_day")


def _batch_windows(source: str) -> Batches:
    schema = _arrow_schema(TABLES["load_windows"].ddl)

    def of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        names = ("batch_id", "part")
        rows = (
            row
            for batch in batches
            for row in zip(*(batch[name].to_pylist() for name in names), batch["packed"], strict=True)
        )
        for (batch_id, _part), members in groupby(rows, key=itemgetter(0, 1)):
            sums = add_partials([unpacked(packed.as_buffer()) for _, _, packed in members])
            yield from load_window_rows(sums, source, batch_id).select(schema.names).cast(schema).to_batches()

    return of_batches


def _arrow_schema(ddl: str) -> pa.Schema:
    return to_arrow_schema(cast(StructType, StructType.fromDDL(ddl)), timezone="UTC")
