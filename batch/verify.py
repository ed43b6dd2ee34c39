"""Read the history again, and build the features again: do the tables say the same?"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batch.features import CLOSED_NOTE, feature_rows_of, first_known_hour, first_stale_hour
from batch.history_files import HistoryFile, check_unchanged
from batch.history_rows import range_lines, read_tasks, window_parts
from batch.task_progress import tasks_told
from serverload.contracts.errors import InputError
from serverload.contracts.instants import from_micros, hour_start
from serverload.contracts.progress import Progress
from serverload.contracts.settings import IngestSettings, Settings
from serverload.contracts.tables import TABLES
from serverload.ingest import HISTORY, line_rules
from serverload.steps.event_kernel import LineRules
from serverload.store.byte_ranges import ByteRange
from serverload.store.file_openers import LOCAL_FILES, FileOpener, has_byte_ranges
from serverload.store.home_snapshot import HomeSnapshot
from serverload.verify.checks import Check, compared
from serverload.verify.recounts import BATCHES_DDL, RECOUNT_DDL, BatchName, recount_checks, recounted_rows

Task = tuple[BatchName, LineRules, Sequence[ByteRange], int]
"""Byte ranges of one batch, and in how many parts its window sums are added up."""


def history_checks(
    tables: HomeSnapshot, settings: IngestSettings, progress: Progress, opener: FileOpener = LOCAL_FILES
) -> Iterator[Check]:
    """Read each batch of the history again whose files are still as they were, all of them in one go."""
    log = tables.read("ingest_log").where(F.col("source") == HISTORY)
    columns = ("checkpoint_id", "batch_id", F.unix_micros("batch_time").alias("micros"))
    batches = {BatchName(row[0], row[1]): from_micros(row[2]) for row in log.select(*columns).collect()}
    files = _files_of_batches(tables)
    problems = {name: problem for name in batches if (problem := _problem(files.get(name, []), opener))}
    readable = {name: files[name] for name in batches if name not in problems}
    example = "; ".join(sorted(problems.values())[:3])
    told = f"{len(problems)} batches cannot be read again ({example})" if problems else ""
    yield Check("history: files are as they were", len(readable), unchecked=told)
    if not readable:
        return
    tasks: list[Task] = [
        (name, line_rules(settings, HISTORY, batches[name]), ranges, window_parts(of_batch))
        for name, of_batch in readable.items()
        for ranges in read_tasks(of_batch, settings.range_bytes, tables.spark.sparkContext.defaultParallelism)
    ]
    sizes = {file.uri: file.size for of_batch in readable.values() for file in of_batch}
    task_sizes = [sum(part.length(sizes[part.uri]) for part in task[2]) for task in tasks]
    progress.step(f"read {len(sizes)} files of the history again", sum(task_sizes), "B")
    names = tables.spark.createDataFrame([(name.checkpoint_id, name.batch_id) for name in readable], BATCHES_DDL)
    with tasks_told(tables.spark, task_sizes, progress):
        yield from recount_checks(tables, HISTORY, _recounted(tables, tasks, opener), names, complete=not problems)


def features_check(tables: HomeSnapshot, settings: Settings) -> Check:
    """`features` against rows built from `hourly_load`, of the hours that it claims and that are still the same."""
    name, found = "features", tables.read("features")
    closed = tables.newest_note(name, CLOSED_NOTE)
    if closed is None:
        return Check(name, unchecked="" if found.isEmpty() else "no commit says until when they reach; run `train`")
    stale, unchecked = first_stale_hour(tables, settings, tables.version("hourly_load"), closed), ""
    if stale is not None:
        unchecked = f"hours from {hour_start(stale):%Y-%m-%dT%HZ} on, which the next `train` builds again"
        found = found.where(F.col("target_hour") < F.lit(hour_start(stale)))
    first, last = first_known_hour(tables), closed if stale is None else stale - 1
    if last < first:
        return Check(name, unchecked="all hours: settings or hours have changed; `train` builds them again")
    names = TABLES[name].column_names
    rows = feature_rows_of(tables, settings, first, last).select(*names)
    return compared(name, rows, found.select(*names), TABLES[name].key, unchecked)


def _files_of_batches(tables: HomeSnapshot) -> dict[BatchName, list[HistoryFile]]:
    """The files of each batch: as many as the history has."""
    files: dict[BatchName, list[HistoryFile]] = defaultdict(list)
    columns = ("checkpoint_id", "batch_id", "uri", "size", "etag")
    for checkpoint_id, batch_id, *file in tables.read("ingested_files").select(*columns).collect():
        files[BatchName(checkpoint_id, batch_id)].append(HistoryFile(*file))
    return files


def _problem(files: Sequence[HistoryFile], opener: FileOpener) -> str:
    """Why a batch cannot be read again; empty if it can."""
    if not files:
        return "no files in ingested_files"
    if without := [file.uri for file in files if not has_byte_ranges(file.uri)]:
        return f"{without[0]}: has no byte ranges"
    try:
        check_unchanged(files, opener)
    except InputError as error:
        return str(error).partition(";")[0]
    return ""


def _recounted(tables: HomeSnapshot, tasks: Sequence[Task], opener: FileOpener) -> DataFrame:
    numbers = tables.spark.range(0, len(tasks), 1, len(tasks))
    return numbers.mapInArrow(partial(_recounted_tasks, tasks, opener), RECOUNT_DDL)


def _recounted_tasks(
    tasks: Sequence[Task], opener: FileOpener, numbers: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in numbers:
        for number in batch.column(0).to_pylist():
            name, rules, ranges, parts = tasks[number]
            yield from recounted_rows(name, rules, range_lines(ranges, opener), parts)
