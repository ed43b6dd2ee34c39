"""What a Python worker spares of the garbage collections between its tasks."""

import gc
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from serverload.steps.python_workers import spare_what_is_loaded


def test_what_is_loaded_is_frozen_in_workers_and_never_in_the_driver(spark: SparkSession) -> None:
    def frozen_objects(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _batch in batches:
            spare_what_is_loaded("a test")
            yield pa.record_batch([pa.array([gc.get_freeze_count()])], names=["frozen"])

    before = gc.get_freeze_count()
    (row,) = spark.range(1, numPartitions=1).mapInArrow(frozen_objects, "frozen long").collect()
    assert row["frozen"] > 10_000
    spare_what_is_loaded("a test")
    assert gc.get_freeze_count() == before
