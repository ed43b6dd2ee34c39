"""Java's archive of Spark's classes, made once at set-up: with it Spark starts, and does its first work, much faster.

It belongs to one Java and one installed pyspark, lies beside them, and is passed over wherever it does not fit.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from serverload.contracts.errors import PlatformError
from serverload.store.jars import VERSION_SET, spark_jars
from serverload.store.java import java_executable

_MAKE_SECONDS = 300
_SILENT = "-Xlog:cds*=off"
"""Else Java tells of each class that it does not archive, and of an archive that does not fit."""


def archive_options() -> str:
    """Options of Java by which it uses the archive; empty where there is none."""
    try:
        archive = _archive()
    except PlatformError:  # the launch will say what is wrong with Java
        return ""
    if not archive.is_file() or any(sign in str(archive) for sign in " \"'\\"):
        return ""
    return f"-XX:SharedArchiveFile={archive} {_SILENT}"


def make_archive() -> None:
    """Run Spark once and let Java keep the classes that it loaded, unless that was done before.

    An archive is no need: where none can be made nothing is raised, and a line on stderr says so.
    """
    archive = _archive()
    if archive.is_file():
        return
    partial = archive.with_suffix(".partial")
    options = f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} -XX:ArchiveClassesAtExit={partial} {_SILENT}"
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "serverload.store.class_archive", "run"],
            env={**os.environ, "SPARK_SUBMIT_OPTS": options},
            check=True,
            capture_output=True,
            timeout=_MAKE_SECONDS,
        )
        partial.replace(archive)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"serverload: no archive of Spark's classes ({error}); starts take longer", file=sys.stderr)


def _archive() -> Path:
    """Where the archive of this Java and this pyspark lies."""
    java, spark = java_executable().resolve(), find_spec("pyspark")
    parts = (java, java.stat().st_mtime_ns, spark and spark.origin, VERSION_SET)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    return Path(sys.prefix, "share", "serverload", f"classes-{key}.jsa")


def _run() -> None:
    """What most commands do: make a table, append, merge, replace, read, through Python too."""
    from pyspark.sql import functions as F

    from serverload.contracts.tables import TABLES
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.session import spark_session

    spark = spark_session("classes", master="local[2]", jars=spark_jars())
    with tempfile.TemporaryDirectory() as home:
        tables = DeltaTables(spark, home)
        row = ("10.0.0.1", *(None for _ in TABLES["servers"].columns[1:]))
        rows = spark.createDataFrame([row], TABLES["servers"].ddl)
        tables.append("servers", rows.mapInArrow(lambda batches: batches, rows.schema))
        tables.merge("servers", rows, None, {})
        tables.replace("servers", rows, "server_ip > ''")
        tables.read("servers").groupBy("server_ip").agg(F.count("*")).join(rows, "server_ip").toArrow()
    gateway = spark.sparkContext._gateway
    spark.stop()
    assert gateway is not None
    gateway.shutdown()
    gateway.proc.stdin.close()  # Java ends by itself, and writes the archive as it does
    gateway.proc.wait()


if __name__ == "__main__":
    _run() if sys.argv[1:] == ["run"] else make_archive()
