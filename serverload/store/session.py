"""The Spark session: local defaults that matter, and nothing that spark-submit has decided already."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.accumulators import AccumulatorTCPServer
from pyspark.errors import PySparkRuntimeError
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from serverload.contracts.errors import PlatformError
from serverload.contracts.lines import MEASURES
from serverload.contracts.setting_types import SECRET_NAMES
from serverload.store.broker_setup import telling_line
from serverload.store.class_archive import archive_options

_ALWAYS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.execution.arrow.maxBytesPerBatch": "8m",  # a Python worker holds a few batches at a time
    # sums hardly repeat: to look for repeats took longer than it saved room
    **{f"spark.hadoop.parquet.enable.dictionary#{name}": "false" for name in MEASURES},
    # a commit without rows still notes how far a table has been held against the one above it
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
}
_LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.databricks.delta.delta.log.cacheSize": "3",
    "spark.sql.maxConcurrentOutputFileWriters": "16",  # else all rows are sorted by month before they are written
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
}
_CLUSTER = {
    # VACUUM makes so many tasks of each listing, whatever there is to list; by default 10,000
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "200",
}


def spark_session(
    app_name: str,
    *,
    master: str = "",
    driver_memory: str = "4g",
    extra: Mapping[str, str] | None = None,
    jars: list[Path] | None = None,
    output: Path | None = None,
    log_format: str = "text",
) -> SparkSession:
    """Start or join the Spark session of this process.

    Submitted by spark-submit, only keys that nobody has set are filled in; started from plain Python it is a
    local session with the given jars (paths), so that a start needs no network. Time zone is always UTC.
    What Spark's Java process and its Python workers print is added to the file `output`; without one it goes where
    ours goes; with `log_format` json, what Java logs is an object a line. Raises PlatformError, one line, when that
    process does not come up.
    """
    local_launch = not submitted()
    if local_launch and SparkContext._active_spark_context is None:
        _prepare_launch(master, driver_memory, jars or [], log_format)
    if local_launch and output is not None and SparkContext._gateway is None:
        _launch_apart(output)
    SparkContext._ensure_initialized()
    conf = SparkConf(loadDefaults=True)
    local = local_launch and conf.get("spark.master", master or "local").startswith("local")
    fill_in(conf, local=local, extra=extra or {})
    if local or (local_launch and output):  # the launcher has set it for a shell, which neither this nor a file is
        conf.set("spark.ui.showConsoleProgress", "false")
    conf.setIfMissing("spark.master", master or "local[*]")
    conf.setIfMissing("spark.app.name", f"serverload {app_name}")
    spark = SparkSession.builder.config(conf=conf).getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # when Java dies, this server's thread would print a stack trace beside our one line
    AccumulatorTCPServer.handle_error = lambda *_: None  # type: ignore[method-assign]
    return spark


def fill_in(conf: SparkConf, *, local: bool, extra: Mapping[str, str]) -> None:
    """Set what neither spark-submit nor the spark-defaults of the cluster have set; `extra` is [spark] settings."""
    for key, entry in {**(_LOCAL if local else _CLUSTER), **extra, **_ALWAYS}.items():
        conf.setIfMissing(key, entry)
    conf.setIfMissing("spark.redaction.regex", SECRET_NAMES)
    # the options of a source are hidden by both; a cluster may have set the first
    conf.setIfMissing("spark.sql.redaction.options.regex", f"{SECRET_NAMES}|url")


def submitted() -> bool:
    """Tell whether spark-submit has started this process."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _prepare_launch(master: str, driver_memory: str, jars: list[Path], log_format: str) -> None:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_DRIVER_MEMORY", driver_memory)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # Spark runs a Python worker per core
    layout = "log4j2-json.properties" if log_format == "json" else "log4j2.properties"
    with as_file(files("serverload.store").joinpath(layout)) as logging_file:
        # Spark makes classes as it goes: once Java's room for their machine code is full, a job fails or crawls
        java = f"-Dlog4j2.configurationFile={logging_file} -Duser.timezone=UTC -XX:ReservedCodeCacheSize=512m"
        java = f"{java} {archive_options()}".rstrip()
        # put before what spark-defaults say, and not in its place as --driver-java-options would be
        options = f'--conf "spark.driver.defaultJavaOptions={java}"'
    listed = f"--jars {','.join(str(jar) for jar in jars)} " if jars else ""
    # said at launch: the launcher fills in local[*] where nobody names a master, and later nothing tells it apart
    named = f"--master {shlex.quote(master)} " if master else ""
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", f"{named}{listed}{options} pyspark-shell")


def _launch_apart(output: Path) -> None:
    """Start the Java process with its two streams in a file; it inherits the open file, which we need no more."""
    with output.open("ab") as words:
        begun = words.tell()
        try:
            gateway = launch_gateway(  # type: ignore[no-untyped-call]
                popen_kwargs={"stdout": words, "stderr": subprocess.STDOUT}
            )
        except PySparkRuntimeError as error:
            told = telling_line(output.read_bytes()[begun:].decode("utf-8", errors="replace"))
            raise PlatformError(
                f"Spark's Java process ended while starting: {told}", hint=f"see {output} and [spark] driver_memory"
            ) from error
    SparkContext._ensure_initialized(gateway=gateway)
