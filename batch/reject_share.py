"""A look at the history's first lines: a wrong file is told before anything is committed."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import SparkSession

from batch.history_rows import file_texts
from serverload.contracts.errors import InputError
from serverload.contracts.lines import REJECT_REASONS
from serverload.steps.event_kernel import EventKernel, LineCounts, LineRules
from serverload.steps.ingest_rows import text_lines
from serverload.store.byte_ranges import ByteRange, read_lines
from serverload.store.file_openers import FileOpener, has_byte_ranges, is_compressed

LOOKED_AT_LINES = 1_000_000
_CHUNK_BYTES = 4 * 1024 * 1024


def check_reject_share(
    uris: Sequence[str], rules: LineRules, max_reject_share: float, opener: FileOpener, spark: SparkSession
) -> None:
    """Raise InputError, with the three commonest reasons and an example of each, if too many lines are refused.

    Looks at the first million lines of the files in order, without writing anything.
    """
    counts, examples = _first_lines(uris, rules, opener, spark)
    if counts.rejected <= max_reject_share * counts.read:
        return
    commonest = sorted(counts.rejected_by_reason.items(), key=lambda entry: -entry[1])[:3]
    told = "; ".join(
        f"{lines} x {reason} ({REJECT_REASONS[reason]}), as in {examples[reason][:120]!r}"
        for reason, lines in commonest
    )
    raise InputError(
        f"{counts.rejected} of the first {counts.read} lines would be refused: {told}",
        where=uris[0],
        hint="nothing was committed; check the files, or go on with --force",
    )


def _first_lines(
    uris: Sequence[str], rules: LineRules, opener: FileOpener, spark: SparkSession
) -> tuple[LineCounts, dict[str, str]]:
    kernel = EventKernel(rules)
    counts, examples = LineCounts(), dict[str, str]()
    for uri in uris:
        for lines in _chunks(uri, opener, spark):
            result = kernel.run(lines)
            counts += result.counts
            for line, reason in zip(*(result.rejects[name].to_pylist() for name in ("line", "reason")), strict=True):
                examples.setdefault(reason, line)
            if counts.read >= LOOKED_AT_LINES:
                return counts, examples
    return counts, examples


def _chunks(uri: str, opener: FileOpener, spark: SparkSession) -> Iterator[pa.Buffer | memoryview | bytes]:
    if has_byte_ranges(uri):
        end = -1 if is_compressed(uri) else opener.size(uri)
        yield from (lines for _offset, lines in read_lines(ByteRange(uri, 0, end), _CHUNK_BYTES, opener))
        return
    first = file_texts(spark, [uri]).limit(LOOKED_AT_LINES).toArrow()
    yield from (text_lines(batch).buffer for batch in first.to_batches())
