"""Classes of Spark's Java process, each looked up once."""

from functools import cache
from typing import Any

from pyspark.sql import SparkSession


def java_class(spark: SparkSession, name: str) -> Any:
    """A Java class by its whole name.

    Asked for by its packages (`jvm.org.apache...`), py4j looks for a class at each dot, each time, and where there is
    none Java goes through all its jars, which took much of what the driver does in a micro-batch.
    """
    return _found(spark._jvm, name)


@cache
def _found(jvm: Any, name: str) -> Any:
    return getattr(jvm, name)
