"""The fetched jars in a real Spark session of its own: Delta is written and Kafka is read with nothing else."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

from kafka import KafkaProducer

SCRIPT = """
import sys
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

bootstrap, topic, table = sys.argv[1:]
spark = spark_session("jars", master="local[1]", driver_memory="1g", jars=spark_jars())
read = spark.read.format("kafka").option("kafka.bootstrap.servers", bootstrap).option("subscribe", topic)
read.load().selectExpr("cast(value as string) as number").write.format("delta").save(table)
print("sum", spark.read.format("delta").load(table).selectExpr("sum(cast(number as int))").first()[0])
"""


def test_a_session_with_only_these_jars_reads_kafka_and_writes_delta(kafka, tmp_path):
    topic = kafka.topic(partitions=2)
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap)) as producer:
        for number in range(1, 101):
            producer.send(topic, value=str(number).encode())
        producer.flush()
    command = [sys.executable, "-c", SCRIPT, kafka.bootstrap, topic, str(tmp_path / "table")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert "sum 5050" in done.stdout, done.stderr[-3000:]
    assert (tmp_path / "table" / "_delta_log").is_dir()
