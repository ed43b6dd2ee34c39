"""Where live sessions come from."""

import json
from collections import defaultdict
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from serverload.contracts.kafka_settings import KafkaSettings
from serverload.contracts.settings import StreamSettings
from serverload.store.kafka_login import spark_options


def kafka_options(bootstrap: str, kafka: KafkaSettings) -> dict[str, str]:
    """How Spark's Kafka client reaches the broker; one that is away is told of within a minute.

    Raises SettingsError where the login's files cannot be read.
    """
    return {
        "kafka.bootstrap.servers": bootstrap,
        "kafka.default.api.timeout.ms": "30000",
        "kafka.request.timeout.ms": "30000",
        "fetchOffset.numRetries": "1",
        # Spark asks for the topic's ends after each poll, and what was fetched beyond it is fetched anew
        "kafka.max.poll.records": "100000",
        "kafka.max.partition.fetch.bytes": str(4 * 1024 * 1024),
        **spark_options(kafka),
    }


def kafka_messages(spark: SparkSession, options: Mapping[str, str], stream: StreamSettings) -> DataFrame:
    """Messages of the topic: topic, partition, offset and value, each value with a newline appended.

    Offsets that retention has deleted are passed over: the ingest counts them.
    """
    return _lines(
        spark.readStream.format("kafka")
        .options(**options)
        .option("subscribe", stream.topic)
        .option("startingOffsets", stream.starting_offsets)
        .option("maxOffsetsPerTrigger", str(stream.max_messages_per_batch))
        .option("failOnDataLoss", "false")
        .load()
    )


def messages_between(
    spark: SparkSession, options: Mapping[str, str], first: Mapping[str, int], until: Mapping[str, int]
) -> DataFrame:
    """As `kafka_messages`, those of given offsets: `topic/partition` to the first, and to the one after the last."""
    return _lines(
        spark.read.format("kafka")
        .options(**options)
        .option("assign", json.dumps({topic: list(map(int, of)) for topic, of in _by_topic(first).items()}))
        .option("startingOffsets", json.dumps(_by_topic(first)))
        .option("endingOffsets", json.dumps(_by_topic(until)))
        .option("minPartitions", str(2 * spark.sparkContext.defaultParallelism))
        .option("failOnDataLoss", "false")
        .load()
    )


def _lines(messages: DataFrame) -> DataFrame:
    return messages.select("topic", "partition", "offset", F.concat(F.col("value"), F.lit(b"\n")).alias("value"))


def _by_topic(places: Mapping[str, int]) -> dict[str, dict[str, int]]:
    offsets: dict[str, dict[str, int]] = defaultdict(dict)
    for place, offset in places.items():
        topic, _, partition = place.rpartition("/")
        offsets[topic][partition] = offset
    return offsets
