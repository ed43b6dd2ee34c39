"""Where live sessions come from."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from serverload.contracts.settings import StreamSettings


def kafka_messages(spark: SparkSession, bootstrap: str, stream: StreamSettings) -> DataFrame:
    """Messages of the topic: topic, partition, offset and value, each value with a newline appended."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("subscribe", stream.topic)
        .option("startingOffsets", stream.starting_offsets)
        .option("maxOffsetsPerTrigger", str(stream.max_messages_per_batch))
        .option("failOnDataLoss", "true")
        .load()
        .select("topic", "partition", "offset", F.concat(F.col("value"), F.lit(b"\n")).alias("value"))
    )
