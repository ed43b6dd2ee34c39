"""The books of ingest: each line is in one place, and each row belongs to a batch that is complete."""

from collections.abc import Iterator
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.store.home_snapshot import HomeSnapshot
from serverload.verify.checks import Check, compared, violations

_BATCH = ["source", "batch_id"]


def accounting_checks(tables: HomeSnapshot) -> Iterator[Check]:
    """Read = accepted + rejected + skipped; sessions and refused lines are those of the log; no row without a batch."""
    log = tables.read("ingest_log")
    yield _lines_check(log)
    windows = tables.read("load_windows").select(*_BATCH, "sessions")
    rejects = tables.read("rejects").select(*_BATCH, F.lit(1).cast("bigint").alias("refused"))
    compacted = windows.where("batch_id IS NULL").select("source").distinct()
    yield compared(
        "sessions of load_windows = accepted",
        _per_batch(log.withColumnRenamed("accepted", "sessions"), "sessions", compacted),
        _per_batch(_of_logged(windows, log), "sessions", compacted),
        _BATCH,
    )
    yield compared(
        "rows of rejects = rejected",
        _per_batch(log.withColumnRenamed("rejected", "refused"), "refused"),
        _per_batch(_of_logged(rejects, log), "refused"),
        _BATCH,
    )
    yield _unlogged_check(windows.select(*_BATCH).unionByName(rejects.select(*_BATCH)), log)


def _lines_check(log: DataFrame) -> Check:
    by_reason = F.aggregate(F.map_values("rejected_by_reason"), F.lit(0).cast("bigint"), lambda a, b: a + b)
    wrong = (F.col("read") != F.expr("accepted + rejected + skipped")) | (F.col("rejected") != by_reason)
    key = ["source", "checkpoint_id", "batch_id"]
    told = ["read", "accepted", "rejected", "skipped", "rejected_by_reason"]
    return violations("read = accepted + rejected + skipped", log, wrong, key, *told)


def _per_batch(rows: DataFrame, count: str, compacted: DataFrame | None = None) -> DataFrame:
    """Sum per batch; per source alone where some rows name no batch any more."""
    if compacted is not None:
        beside = rows.join(F.broadcast(compacted.withColumn("compacted", F.lit(True))), "source", "left")
        rows = beside.withColumn("batch_id", F.when(F.col("compacted").isNull(), F.col("batch_id")))
    summed = rows.groupBy(*_BATCH).agg(F.sum(count).alias(count))
    return summed.where(F.col(count) > 0)


def _of_logged(rows: DataFrame, log: DataFrame) -> DataFrame:
    """The rows of complete batches, and those that name none any more."""
    complete = rows.join(log.select(*_BATCH).distinct(), _BATCH, "left_semi")
    return complete.unionByName(rows.where("batch_id IS NULL"))


def _unlogged_check(named: DataFrame, log: DataFrame) -> Check:
    """One batch a source may be in work or interrupted: the one after all that are complete."""
    batches = named.where("batch_id IS NOT NULL").distinct()
    unlogged = batches.join(log.select(*_BATCH).distinct(), _BATCH, "left_anti")
    newest = log.groupBy("source").agg(F.max("batch_id").alias("newest"))
    found = unlogged.join(newest, "source", "left").orderBy(*_BATCH).limit(1000).collect()
    last = {row["source"]: row["batch_id"] for row in found}
    wrong = [row for row in found if row["batch_id"] != last[row["source"]] or row["batch_id"] <= (row["newest"] or -1)]
    check = Check("rows belong to batches of ingest_log", batches.count(), len(wrong))
    if wrong:
        row = wrong[0]
        return replace(check, example=f"source {row['source']}, batch_id {row['batch_id']}: not in ingest_log")
    told = (
        f"{source} batch {number} is in work or interrupted; start the job again to finish it"
        for source, number in last.items()
    )
    return replace(check, unchecked=", ".join(told))
