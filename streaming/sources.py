"""Where live sessions come from."""

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
        **spark_options(kafka),
    }


def kafka_messages(spark: SparkSession, options: Mapping[str, str], stream: StreamSettings) -> DataFrame:
    """Messages of the topic: topic, partition, offset and value, each value with a newline appended.

    Offsets that retention has deleted are passed over: the ingest counts them.
    """
    return (
        spark.readStream.format("kafka")
        .options(**options)
        .option("subscribe", stream.topic)
        .option("startingOffsets", stream.starting_offsets)
        .option("maxOffsetsPerTrigger", str(stream.max_messages_per_batch))
        .option("failOnDataLoss", "false")
        .load()
        .select("topic", "partition", "offset", F.concat(F.col("value"), F.lit(b"\n")).alias("value"))
    )
