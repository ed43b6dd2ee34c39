"""Small files read by Hadoop's file system, so on any store that Spark reaches."""

from typing import Any, cast

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from serverload.store.java_classes import java_class


def read_text(spark: SparkSession, address: str) -> str | None:
    """The text of a file; None where there is none."""
    path = java_class(spark, "org.apache.hadoop.fs.Path")(address)
    files = path.getFileSystem(cast(Any, spark._jsc).hadoopConfiguration())
    try:
        stream = files.open(path)
    except Py4JJavaError as error:
        if "FileNotFoundException" in str(error.java_exception):
            return None
        raise
    try:
        return str(java_class(spark, "org.apache.commons.io.IOUtils").toString(stream, "UTF-8"))
    finally:
        stream.close()


def write_text(spark: SparkSession, address: str, text: str) -> None:
    """Make a file with this text, or replace it."""
    path = java_class(spark, "org.apache.hadoop.fs.Path")(address)
    stream = path.getFileSystem(cast(Any, spark._jsc).hadoopConfiguration()).create(path, True)
    try:
        stream.write(bytearray(text, "utf-8"))
    finally:
        stream.close()
