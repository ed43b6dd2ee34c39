"""The files of a batch as packed rows: byte ranges read by Python workers, or lines that Spark brings."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial, reduce
from math import ceil

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.history_files import HistoryFile
from serverload.ingest import LEAST_PARTS
from serverload.steps.event_kernel import LineRules
from serverload.steps.ingest_rows import PACKED_DDL, Lines, file_lines, packed_rows, text_lines
from serverload.steps.python_workers import spare_what_is_loaded
from serverload.store.byte_ranges import ByteRange, ranges_of, read_lines, spread, text_size
from serverload.store.file_openers import FileOpener, has_byte_ranges

_SMALL_TASK, _SMALL_RANGE = 8 * 1024 * 1024, 1024 * 1024
_PART_BYTES, _MOST_PARTS = 16 * 1024 * 1024, 1024
"""Window sums are added up in parts of so much text each: few enough rows to stay in a processor's cache."""


def history_rows(
    spark: SparkSession,
    files: Sequence[HistoryFile],
    tasks: Sequence[Sequence[ByteRange]],
    rules: LineRules,
    parts: int,
    opener: FileOpener,
) -> DataFrame:
    """Packed rows of a batch: of the byte ranges of each task, and of the files that have none."""
    rows = [range_rows(spark, tasks, rules, parts, opener)] if tasks else []
    others = [file.uri for file in files if not has_byte_ranges(file.uri)]
    rows += [text_rows(spark, others, rules, parts)] if others else []
    return reduce(DataFrame.unionAll, rows)


def range_rows(
    spark: SparkSession, tasks: Sequence[Sequence[ByteRange]], rules: LineRules, parts: int, opener: FileOpener
) -> DataFrame:
    """Packed rows of the byte ranges of each task."""
    numbers = spark.range(0, len(tasks), 1, len(tasks))
    return numbers.mapInArrow(partial(_packed_ranges, list(tasks), rules, parts, opener), PACKED_DDL)


def text_rows(spark: SparkSession, uris: Sequence[str], rules: LineRules, parts: int) -> DataFrame:
    """Packed rows of the lines of files that only Hadoop reaches, by Spark's text reader."""
    return file_texts(spark, uris).mapInArrow(partial(_packed_texts, rules, parts), PACKED_DDL)


def file_texts(spark: SparkSession, uris: Sequence[str]) -> DataFrame:
    """Lines of files as `file` and `value`, each value the line's bytes with a newline appended.

    Spark would split at CR too if it were not told what ends a line; bytes that are no UTF-8 stay what they are.
    """
    lines = spark.read.option("lineSep", "\n").text([_without_glob(uri) for uri in uris])
    value = F.concat(F.col("value").cast("binary"), F.lit(b"\n")).alias("value")
    return lines.select(F.col("_metadata.file_path").alias("file"), value)


def range_lines(ranges: Iterable[ByteRange], opener: FileOpener) -> Iterator[Lines]:
    """The lines of byte ranges, chunk by chunk."""
    chunks = ((part.uri, chunk) for part in ranges for chunk in read_lines(part, opener=opener))
    return (file_lines(uri, start, lines) for uri, (start, lines) in chunks)


def read_tasks(files: Sequence[HistoryFile], range_bytes: int, cores: int) -> list[list[ByteRange]]:
    """Cut the files of a batch that have byte ranges into even tasks of at most about `range_bytes` each."""
    sizes = {file.uri: file.size for file in files if has_byte_ranges(file.uri)}
    size = sum(sizes.values())
    if not sizes:
        return []
    rounds = max(2, ceil(size / (range_bytes * cores)))
    # a task costs Spark as much as reading some megabytes: small files share one
    task_bytes = max(min(_SMALL_TASK, range_bytes), ceil(size / (rounds * cores)))
    most = max(min(_SMALL_RANGE, range_bytes), task_bytes // 8)
    ranges = [part for uri, of_file in sizes.items() for part in ranges_of(uri, of_file, most)]
    return spread(ranges, lambda part: part.length(sizes[part.uri]), ceil(size / task_bytes))


def window_parts(files: Sequence[HistoryFile]) -> int:
    """In how many parts the window sums of a batch are added up."""
    text = sum(text_size(file.uri, file.size) for file in files)
    return min(max(LEAST_PARTS, text // _PART_BYTES), _MOST_PARTS)


def _packed_ranges(
    tasks: list[Sequence[ByteRange]],
    rules: LineRules,
    parts: int,
    opener: FileOpener,
    numbers: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    for batch in numbers:
        for number in batch.column(0).to_pylist():
            yield from packed_rows(rules, range_lines(tasks[number], opener), parts)
    spare_what_is_loaded("lines")


def _packed_texts(rules: LineRules, parts: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from packed_rows(rules, map(text_lines, batches), parts)
    spare_what_is_loaded("lines")


def _without_glob(uri: str) -> str:
    """An address in which Hadoop sees no pattern."""
    return "".join(f"\\{sign}" if sign in "{}[]*?\\" else sign for sign in uri)
