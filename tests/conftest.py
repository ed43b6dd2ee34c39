"""One Spark session for all tests of a run; it takes seconds to start."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from serverload.store.jars import spark_jars
from serverload.store.session import spark_session


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A local session on two cores with Delta and Kafka, as the jobs start it."""
    # few partitions: tests hold hundreds of rows, and a task costs more than they do
    settings = {"spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"}
    session = spark_session("tests", master="local[2]", driver_memory="2g", extra=settings, jars=spark_jars())
    yield session
    session.stop()
