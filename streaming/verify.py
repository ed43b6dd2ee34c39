"""Read the offsets of live batches again: do log, rejects and window sums say the same?"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from serverload.contracts.errors import BrokerError
from serverload.contracts.instants import from_micros
from serverload.contracts.progress import Progress
from serverload.contracts.settings import IngestSettings
from serverload.ingest import LIVE, line_rules
from serverload.steps.ingest_rows import message_lines
from serverload.store.home_snapshot import HomeSnapshot
from serverload.verify.checks import Check, violations
from serverload.verify.recounts import RECOUNT_DDL, BatchName, recount_checks, recounted_rows
from streaming.sources import messages_between
from streaming.topic import Topic

_KEY = ["checkpoint_id", "batch_id"]
_PLACES_DDL = "place STRING, earliest BIGINT"
_PARTS = 1
"""Live batches are many and small: the window sums of one are added up together."""


@dataclass(frozen=True)
class _Spans:
    """The offsets of one `topic/partition` that batches read, ascending, and the number of each batch."""

    first: NDArray[np.int64]
    until: NDArray[np.int64]
    batch: NDArray[np.int64]

    def batches_at(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the batch that read each offset, -1 where none did."""
        at = np.searchsorted(self.first, offsets, side="right") - 1
        return np.where((at >= 0) & (offsets < self.until[at]), self.batch[at], -1)


def live_checks(
    tables: HomeSnapshot, settings: IngestSettings, options: Mapping[str, str] | None, progress: Progress
) -> Iterator[Check]:
    """Do batches follow one another without gap, and does what the topic still holds of them give the same?

    `options` are Spark's for the broker (`kafka_options`), None where none is known.
    """
    log = tables.read("ingest_log").where(F.col("source") == LIVE)
    noted = log.where("from_offsets IS NOT NULL AND until_offsets IS NOT NULL")
    spans = noted.select(*_KEY, "until_offsets", F.explode("from_offsets").alias("place", "first"))
    spans = spans.withColumn("until", F.col("until_offsets")[F.col("place")]).drop("until_offsets")
    yield _order_check(log, spans)
    earliest, away = _earliest_offsets(tables, spans, options)
    readable, gone, offsets = _readable(tables, noted, spans, earliest)
    counts = {"readable": readable.count(), "noted": noted.count(), "all": log.count()}
    yield _there_check(counts, gone, offsets, away)
    if not counts["readable"] or options is None:
        return
    found = spans.join(readable, _KEY, "left_semi").join(log.select(*_KEY, "batch_time"), _KEY)
    listed = found.select("place", "first", "until", *_KEY, F.unix_micros("batch_time").alias("micros")).toArrow()
    progress.step(f"read the messages of {counts['readable']:,} live batches again")
    recounted = _recounted(tables, settings, listed, options)
    yield from recount_checks(tables, LIVE, recounted, readable, complete=counts["readable"] == counts["all"])


def _order_check(log: DataFrame, spans: DataFrame) -> Check:
    """A batch begins where the one before it ended; known from the newest batch without offsets on."""
    unnoted = log.where("from_offsets IS NULL OR until_offsets IS NULL")
    since = unnoted.groupBy("checkpoint_id").agg(F.max("batch_id").alias("since"))
    known = spans.join(F.broadcast(since), "checkpoint_id", "left").where("since IS NULL OR batch_id > since")
    before = Window.partitionBy("checkpoint_id", "place").orderBy("batch_id")
    ordered = known.withColumn("before_until", F.lag("until").over(before))
    wrong = (F.col("first") != F.col("before_until")) | (F.col("until") < F.col("first"))
    return violations("live: offsets follow one another", ordered, wrong, [*_KEY, "place"], "before_until", "first")


def _there_check(counts: Mapping[str, int], gone: int, offsets: int, away: str) -> Check:
    told = [f"{gone} batches with {offsets:,} offsets that are no longer in the topic"] if gone else []
    told += [away] if away else []
    if without := counts["all"] - counts["noted"]:
        told.append(f"{without} batches whose log names no offsets")
    return Check("live: messages are in the topic", counts["readable"], unchecked=", ".join(told))


def _earliest_offsets(
    tables: HomeSnapshot, spans: DataFrame, options: Mapping[str, str] | None
) -> tuple[dict[str, int], str]:
    """The first offset that the broker still has of each place that answers, and why others do not."""
    topics = sorted({row["place"].rpartition("/")[0] for row in spans.select("place").distinct().collect()})
    if options is None:
        return {}, "no broker is running" if topics else ""
    earliest, away = dict[str, int](), ""
    for topic in topics:
        try:
            earliest |= Topic(tables.spark, topic, options).earliest_offsets()
        except BrokerError as error:
            away = str(error).partition(";")[0]
    return earliest, away


def _readable(
    tables: HomeSnapshot, noted: DataFrame, spans: DataFrame, earliest: Mapping[str, int]
) -> tuple[DataFrame, int, int]:
    """The batches whose offsets are all there, and how many batches and offsets are not.

    Tables know a batch by its number alone: one that shares it with a batch of another checkpoint goes with that.
    """
    places = tables.spark.createDataFrame(list(earliest.items()), _PLACES_DDL)
    begin = F.greatest("first", F.least("until", F.coalesce("earliest", "until")))
    missing = spans.join(F.broadcast(places), "place", "left").withColumn("missing", begin - F.col("first"))
    gone = missing.where("missing > 0")
    row = gone.agg(F.count_distinct(*_KEY), F.coalesce(F.sum("missing"), F.lit(0))).collect()[0]
    readable = noted.select(*_KEY).join(gone.select("batch_id").distinct(), "batch_id", "left_anti").select(*_KEY)
    return readable, row[0], row[1]


def _recounted(
    tables: HomeSnapshot, settings: IngestSettings, listed: pa.Table, options: Mapping[str, str]
) -> DataFrame:
    """Packed rows of the batches that are listed with their places, offsets and times."""
    names = {(row["checkpoint_id"], row["batch_id"]): row["micros"] for row in listed.to_pylist()}
    numbers = {name: number for number, name in enumerate(names)}
    batches = [(BatchName(*name), micros) for name, micros in names.items()]
    rows: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for row in listed.to_pylist():
        number = numbers[row["checkpoint_id"], row["batch_id"]]
        rows[row["place"]].append((row["first"], row["until"], number))
    spans = {place: _Spans(*np.array(sorted(of_place), np.int64).T) for place, of_place in rows.items()}
    first = {place: int(of_place.first.min()) for place, of_place in spans.items()}
    until = {place: int(of_place.until.max()) for place, of_place in spans.items()}
    messages = messages_between(tables.spark, options, first, until)
    return messages.mapInArrow(partial(_recounted_messages, settings, batches, spans), RECOUNT_DDL)


def _recounted_messages(
    settings: IngestSettings,
    batches: list[tuple[BatchName, int]],
    spans: dict[str, _Spans],
    messages: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    runs = (run for rows in messages for run in _runs(spans, rows))
    for number, members in groupby(runs, key=itemgetter(0)):
        name, micros = batches[number]
        chunks = (message_lines(rows) for _, rows in members)
        yield from recounted_rows(name, line_rules(settings, LIVE, from_micros(micros)), chunks, _PARTS)


def _runs(spans: dict[str, _Spans], messages: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Cut messages where another batch begins; those that no batch read are left out."""
    topic_and_partition = (messages["topic"], messages["partition"].cast(pa.string()))
    places = pc.binary_join_element_wise(*topic_and_partition, "/").dictionary_encode()
    offsets, number = messages["offset"].to_numpy(), np.full(messages.num_rows, -1)
    for code, place in enumerate(places.dictionary.to_pylist()):
        of_place = places.indices.to_numpy() == code
        number[of_place] = spans[place].batches_at(offsets[of_place])
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), messages.num_rows]
    for begin, end in pairwise(edges):
        if begin < end and number[begin] >= 0:
            yield int(number[begin]), messages.slice(begin, end - begin)
