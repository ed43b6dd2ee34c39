"""Delta Kernel, the interface that Delta has for other writers: commits of data files that are written already."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from py4j.protocol import Py4JJavaError
from pyspark.sql import Row, SparkSession

from serverload.store.java_classes import java_class

_ENGINE_INFO = "serverload"


@dataclass(frozen=True)
class Transaction:
    """Names one write for ever: a second write under the same id and a version not above it is skipped by Delta."""

    application_id: str
    version: int


def is_committed(spark: SparkSession, table_path: str, transaction: Transaction) -> bool:
    """Tell whether the table has the transaction, or a later one of the same application, already."""
    engine = _engine(spark)
    snapshot = _kernel(spark, "Table").forPath(engine, table_path).getLatestSnapshot(engine)
    seen = snapshot.getLatestTransactionVersion(engine, transaction.application_id)
    return bool(seen.isPresent()) and seen.get() >= transaction.version


def commit_files(
    spark: SparkSession,
    table_path: str,
    files: Sequence[Row | Mapping[str, Any]],
    transaction: Transaction | None,
) -> None:
    """Add data files (rows of FILES_SCHEMA) to a table with a partition column or none, in one commit.

    Raises py4j's Py4JJavaError (ConcurrentTransactionException) if another process commits the same transaction.
    """
    engine, transactions = _engine(spark), _kernel(spark, "Transaction")
    builder = (
        _kernel(spark, "Table")
        .forPath(engine, table_path)
        .createTransactionBuilder(engine, _ENGINE_INFO, _kernel(spark, "Operation").WRITE)
    )
    if transaction:
        builder = builder.withTransactionId(engine, transaction.application_id, transaction.version)
    commit = builder.build(engine)
    columns = list(commit.getPartitionColumns(engine))
    schema, state = commit.getSchema(engine), commit.getTransactionState(engine)
    root, now = engine.getFileSystemClient().resolvePath(table_path), int(time.time() * 1000)
    utils, actions = _kernel(spark, "internal.util.Utils"), java_class(spark, "java.util.ArrayList")()
    for file in files:
        stats = _kernel(spark, "statistics.DataFileStatistics").deserializeFromJson(file["stats"], schema)
        written = _kernel(spark, "utils.DataFileStatus")(f"{root}/{file['path']}", file["size"], now, stats)
        place = {column: _kernel(spark, "expressions.Literal").ofString(file["partition"]) for column in columns}
        context = transactions.getWriteContext(engine, state, place)
        one = utils.singletonCloseableIterator(written)
        actions.addAll(transactions.generateAppendActions(engine, state, one, context).toInMemoryList())
    added = _kernel(spark, "utils.CloseableIterable").inMemoryIterable(utils.toCloseableIterator(actions.iterator()))
    for hook in commit.commit(engine, added).getPostCommitHooks():
        try:
            hook.threadSafeInvoke(engine)
        except Py4JJavaError as error:  # checkpoints and checksums save later readers time, no more
            logging.getLogger(__name__).warning("%s of %s: %s", hook.getType(), table_path, error.java_exception)


def _kernel(spark: SparkSession, name: str) -> Any:
    return java_class(spark, f"io.delta.kernel.{name}")


def _engine(spark: SparkSession) -> Any:
    configuration = cast(Any, spark._jsparkSession).sessionState().newHadoopConf()
    return _kernel(spark, "defaults.engine.DefaultEngine").create(configuration)
