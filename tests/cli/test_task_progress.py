"""A Spark job tells how much of its input is done while it runs."""

import time
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from batch.task_progress import tasks_told
from serverload.contracts.progress import Silent


class Amounts(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def advance(self, amount: int) -> None:
        self.told.append(amount)


def test_bytes_are_told_task_by_task_and_add_up(spark: SparkSession) -> None:
    def slowly(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(1.2)  # longer than two looks
            yield batch

    amounts = Amounts()
    job = spark.range(0, 8, 1, 8).mapInArrow(slowly, "id BIGINT")

    with tasks_told(spark, [10, 20, 30, 40, 50, 60, 70, 80], amounts):
        assert job.count() == 8
        while_it_ran = len(amounts.told)

    assert while_it_ran >= 2
    assert sum(amounts.told) == 360
    assert len(amounts.told) >= 3


def test_a_failed_job_is_not_told_as_done(spark: SparkSession) -> None:
    amounts = Amounts()

    with pytest.raises(ZeroDivisionError), tasks_told(spark, [10, 20], amounts):
        raise ZeroDivisionError

    assert amounts.told == []
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") is None
