"""`verify` reads the offsets of live batches again and holds them against what the stream made of them."""

from contextlib import closing

import pytest
from conftest import Kafka
from delta.tables import DeltaTable
from kafka import KafkaAdminClient, TopicPartition
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from test_stream_faults import drained, line, send

from serverload.cli.verify import run_verify
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry
from serverload.verify.checks import Check

LIVE = ("live: counts of batches", "live: refused lines", "live: window sums")


@pytest.fixture(scope="module")
def settings(spark: SparkSession, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home whose stream has read two batches of two partitions, with a refused line in each."""
    topic = kafka.topic(2)
    stream = {"topic": topic, "trigger_seconds": 0.1, "bootstrap": kafka.bootstrap}
    settings = load_settings(flags={"home": str(tmp_path_factory.mktemp("verified")), "stream": stream})
    send(kafka.bootstrap, topic, line(1), line(2) + b"\n" + line(3), b"not a session")
    send(kafka.bootstrap, topic, line(4, server=2), None, partition=1)
    drained(spark, settings, kafka)
    send(kafka.bootstrap, topic, line(2), b"neither is this")
    drained(spark, settings, kafka)
    return settings


def verified(spark: SparkSession, settings: Settings) -> dict[str, Check]:
    registry = ModelRegistry("", settings.model.name, settings.home)
    found = run_verify(settings, DeltaTables(spark, settings.home), registry, Silent(), 0, ["live", "load_windows"])
    return {check.name: check for check in found}


def differing(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.differing}


def update(spark: SparkSession, settings: Settings, name: str, condition: str, values: dict[str, str]) -> None:
    table = DeltaTable.forPath(spark, f"{settings.home}/tables/{name}")
    table.update(condition, {column: F.expr(value) for column, value in values.items()})


def test_what_the_stream_made_agrees_with_the_messages_also_once_some_are_deleted(
    spark: SparkSession, kafka: Kafka, settings: Settings
) -> None:
    checks = verified(spark, settings)

    assert {name: check.result for name, check in checks.items()} == dict.fromkeys(checks, "agrees")
    assert [checks[name].compared for name in LIVE] == [2, 2, 3]
    assert checks["live: messages are in the topic"].compared == 2

    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.delete_records({TopicPartition(settings.stream.topic, 0): 2})
    checks = verified(spark, settings)

    assert differing(checks) == set()
    there = checks["live: messages are in the topic"]
    assert (there.compared, there.unchecked) == (1, "1 batches with 2 offsets that are no longer in the topic")
    assert [checks[name].compared for name in LIVE] == [1, 1, 1]


def test_a_wrong_sum_a_wrong_count_and_messages_that_no_batch_has_read_are_named(
    spark: SparkSession, settings: Settings
) -> None:
    place = f"{settings.stream.topic}/0"
    later = f"map_concat(map_filter(from_offsets, (k, v) -> k != '{place}'), map('{place}', 4L))"
    update(spark, settings, "load_windows", "batch_id = 1", {"total_load": "total_load + 0.000001"})
    update(spark, settings, "ingest_log", "batch_id = 1", {"skipped": "skipped + 1", "read": "read + 1"})
    checks = verified(spark, settings)
    assert differing(checks) == {"live: counts of batches", "live: window sums"}
    assert "batch_id 1: total_load expected" in checks["live: window sums"].example
    update(spark, settings, "ingest_log", "batch_id = 1", {"from_offsets": later})

    checks = verified(spark, settings)

    assert "before_until 3, first 4" in checks["live: offsets follow one another"].example
    assert "batch_id 1: read expected 1, found 3" in checks["live: counts of batches"].example
    assert "batch_id 1: not expected" in checks["live: window sums"].example


def test_without_a_broker_the_rest_is_checked(spark: SparkSession, settings: Settings) -> None:
    away = load_settings(flags={"home": settings.home, "stream": {"topic": settings.stream.topic}})

    checks = verified(spark, away)

    assert checks["live: messages are in the topic"].result == "not checked"
    assert checks["rows of rejects = rejected"].result == "agrees"
