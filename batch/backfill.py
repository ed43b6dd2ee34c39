"""Backfill: the history's new files, batch by batch, into the tables; a bounded run of the one ingest."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pyspark.sql import functions as F

from batch.history_files import HistoryFile, check_unchanged, history_files, new_files
from batch.history_rows import history_rows, read_tasks, window_parts
from batch.reject_share import check_reject_share
from batch.task_progress import tasks_told
from serverload.contracts.errors import InputError
from serverload.contracts.instants import from_micros
from serverload.contracts.progress import Progress
from serverload.contracts.settings import IngestSettings
from serverload.ingest import HISTORY, IngestBatch, batch_facts, commit_batch, computed_once, line_rules
from serverload.steps.event_kernel import LineCounts
from serverload.store.byte_ranges import grouped, text_size
from serverload.store.delta_tables import DeltaTables
from serverload.store.file_openers import LOCAL_FILES, FileOpener
from serverload.store.locks import held_for_home


@dataclass(frozen=True)
class BackfillResult:
    """What a backfill did: files, bytes and counts of the batches it completed, and files it already knew."""

    files: int
    bytes: int
    batches: int
    known_files: int
    counts: LineCounts


def backfill(
    tables: DeltaTables,
    settings: IngestSettings,
    paths: Sequence[str],
    progress: Progress,
    *,
    force: bool = False,
    opener: FileOpener = LOCAL_FILES,
) -> BackfillResult:
    """Ingest every file behind `paths` that is not done yet, after finishing a batch that was killed.

    Files in stores are opened by `opener`. Raises InputError for a path without files, a changed file, or a history
    that is mostly refused.
    """
    listed = history_files(paths, opener, tables.spark)
    with held_for_home(tables.home, "backfill", wait_seconds=1.0):
        ledger = _Ledger(tables, opener)
        batches = list(ledger.interrupted())
        counts = LineCounts()
        for batch, interrupted in batches:
            counts += _run(tables, settings, batch, interrupted, progress, opener)
        files = new_files(listed, ledger.done())
        if files and not force:
            rules = line_rules(settings, HISTORY, _now())
            check_reject_share([file.uri for file in files], rules, settings.max_reject_share, opener, tables.spark)
        for group in grouped(files, lambda file: text_size(file.uri, file.size), settings.batch_bytes):
            batch = ledger.plan(group)
            counts += _run(tables, settings, batch, group, progress, opener)
            batches.append((batch, group))
    ingested = [file for _batch, group in batches for file in group]
    return BackfillResult(
        len(ingested), sum(file.size for file in ingested), len(batches), len(listed) - len(files), counts
    )


def _run(
    tables: DeltaTables,
    settings: IngestSettings,
    batch: IngestBatch,
    files: Sequence[HistoryFile],
    progress: Progress,
    opener: FileOpener,
) -> LineCounts:
    size = sum(file.size for file in files)
    progress.step(f"ingest batch {batch.batch_id}: {len(files)} files", size, "B")
    tasks = read_tasks(files, settings.range_bytes, tables.spark.sparkContext.defaultParallelism)
    rules = line_rules(settings, HISTORY, batch.batch_time)
    rows = history_rows(tables.spark, files, tasks, rules, window_parts(files), opener)
    sizes = {file.uri: file.size for file in files}
    task_sizes = [sum(part.length(sizes[part.uri]) for part in task) for task in tasks]
    with tasks_told(tables.spark, task_sizes, progress), computed_once(rows) as once:
        counts = batch_facts(once).counts
        commit_batch(tables, once, counts, batch, before_log=lambda: _record_done(tables, batch, files, opener))
        return counts


def _record_done(tables: DeltaTables, batch: IngestBatch, files: Sequence[HistoryFile], opener: FileOpener) -> None:
    """Enter the files into the ledger; InputError if one is not what was planned: it was read while it changed."""
    check_unchanged(files, opener, tables.spark)
    named = {"checkpoint_id": batch.checkpoint_id, "batch_id": batch.batch_id}
    tables.append_rows("ingested_files", [asdict(file) | named for file in files], batch.transaction("ingested_files"))


def _now() -> datetime:
    return datetime.now(UTC)


class _Ledger:
    """Which files are done, which batch was planned and not finished, and the next batch's id."""

    def __init__(self, tables: DeltaTables, opener: FileOpener) -> None:
        self._tables, self._opener = tables, opener
        self._id = tables.identity("ingested_files")
        plans = tables.read("backfill_plans").where(F.col("checkpoint_id") == self._id)
        newest = plans.agg(F.max("batch_id")).head()
        self._newest_planned = -1 if newest is None or newest[0] is None else int(newest[0])

    def done(self) -> dict[str, HistoryFile]:
        """The files that are done, by address: as many rows as the history has files."""
        rows = self._tables.read("ingested_files").select("uri", "size", "etag").collect()
        return {row["uri"]: HistoryFile(row["uri"], row["size"], row["etag"]) for row in rows}

    def interrupted(self) -> Iterator[tuple[IngestBatch, list[HistoryFile]]]:
        """The batch that was planned and has no row in `ingest_log`, if any, exactly as it was planned.

        If a file of it has changed or gone, the plan is dropped; unless rows of it are there already: InputError.
        """
        log = self._tables.read("ingest_log").where(F.col("checkpoint_id") == self._id)
        if self._newest_planned < 0 or not log.where(F.col("batch_id") == self._newest_planned).isEmpty():
            return
        plans = self._tables.read("backfill_plans").where(
            (F.col("checkpoint_id") == self._id) & (F.col("batch_id") == self._newest_planned)
        )
        rows = plans.select("uri", "size", "etag", F.unix_micros("batch_time").alias("micros")).collect()
        files = sorted(HistoryFile(row["uri"], row["size"], row["etag"]) for row in rows)
        batch = IngestBatch(HISTORY, self._id, self._newest_planned, from_micros(rows[0]["micros"]))
        try:
            check_unchanged(files, self._opener, self._tables.spark)
        except InputError as error:
            if self._has_rows(batch):
                where = f"batch {self._newest_planned}, half written"
                raise InputError(str(error), where=where, hint="put it back as it was, then run again") from error
            return
        yield batch, files

    def _has_rows(self, batch: IngestBatch) -> bool:
        """By its transactions: its rows may have been added to others since."""
        return any(self._tables.is_committed(name, batch.transaction(name)) for name in ("load_windows", "rejects"))

    def plan(self, files: Sequence[HistoryFile]) -> IngestBatch:
        """Record the next batch before it runs."""
        self._newest_planned += 1
        batch = IngestBatch(HISTORY, self._id, self._newest_planned, _now())
        named = {"checkpoint_id": batch.checkpoint_id, "batch_id": batch.batch_id, "batch_time": batch.batch_time}
        rows = [asdict(file) | named for file in files]
        self._tables.append_rows("backfill_plans", rows, batch.transaction("backfill_plans"))
        return batch
