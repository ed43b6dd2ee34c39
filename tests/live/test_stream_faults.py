"""What befalls a stream, done to it for real: messages deleted, a topic made anew, odd messages, a broker away."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Kafka
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from pyspark.sql import SparkSession

from serverload.contracts.errors import StoreError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.contracts.tables import TABLES
from serverload.store import delta_tables
from serverload.store.broker import EmbeddedBroker
from serverload.store.checkpoints import Checkpoint
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry
from serverload.store.table_reader import run_sql
from streaming.stream import Stream, StreamResult


def line(minute: int, server: int = 1) -> bytes:
    """A good line of a server, at a minute of the first hour of 2016-06-10, with a total load of one."""
    return f"2016-06-10 00:{minute:02}:00,,1,1.0,1,1,0,1,1,1,1,1,1,1.0,10.9.9.9,10.0.0.{server}".encode()


def settings_for(home: Path, topic: str, **sections: object) -> Settings:
    return load_settings(flags={"home": str(home), "stream": {"topic": topic, "trigger_seconds": 0.1}, **sections})


def stream_on(tables: DeltaTables, settings: Settings) -> Stream:
    registry = ModelRegistry("", settings.model.name, settings.home)
    return Stream(tables, settings, registry, Silent())


def drained(spark: SparkSession, settings: Settings, kafka: Kafka) -> StreamResult:
    stream = stream_on(DeltaTables(spark, settings.home), settings)
    return stream.run(kafka.bootstrap, available_now=True, stop=threading.Event())


def send(bootstrap: str, topic: str, *values: bytes | None, partition: int = 0) -> None:
    with closing(KafkaProducer(bootstrap_servers=bootstrap, max_request_size=16 << 20)) as producer:
        for value in values:
            producer.send(topic, value, key=b"a server", partition=partition).get(timeout=30)


def delete_before(bootstrap: str, topic: str, offset: int, partition: int = 0) -> None:
    """Do what retention does."""
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.delete_records({TopicPartition(topic, partition): offset})


def asked(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in run_sql(settings.home, query).to_pylist()]


def until(reached: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.5)


def test_messages_deleted_before_they_were_read_are_counted_and_the_rest_is_read(
    spark: SparkSession, kafka: Kafka, tmp_path: Path
) -> None:
    topic = kafka.topic(2)
    settings = settings_for(tmp_path, topic)
    send(kafka.bootstrap, topic, line(1), line(2))
    assert drained(spark, settings, kafka).lost_offsets == 0
    send(kafka.bootstrap, topic, *(line(minute) for minute in range(3, 13)))
    send(kafka.bootstrap, topic, line(20), partition=1)
    delete_before(kafka.bootstrap, topic, 9)

    done = drained(spark, settings, kafka)

    assert (done.lost_offsets, done.counts.read) == (7, 4)
    logged = asked(settings, "select read, lost_offsets, from_offsets, until_offsets from ingest_log order by batch_id")
    assert [(read, lost, dict(begin), dict(end)) for read, lost, begin, end in logged] == [
        (2, 0, {f"{topic}/0": 0}, {f"{topic}/0": 2}),
        (4, 7, {f"{topic}/0": 2, f"{topic}/1": 0}, {f"{topic}/0": 12, f"{topic}/1": 1}),
    ]
    ((event, detail),) = asked(settings, "select event, detail from stream_log")
    assert event == "offsets_lost"
    assert "7 messages were deleted by the topic's retention" in detail


def test_when_all_messages_of_a_batch_were_deleted_that_is_recorded_too(
    spark: SparkSession, kafka: Kafka, tmp_path: Path
) -> None:
    topic = kafka.topic(1)
    settings = settings_for(tmp_path, topic)
    send(kafka.bootstrap, topic, line(1))
    drained(spark, settings, kafka)
    assert events(settings) == []
    told_by_a_killed_stream(spark, settings, "broker_away", "registry_away")
    send(kafka.bootstrap, topic, line(2), line(3))
    delete_before(kafka.bootstrap, topic, 3)

    done = drained(spark, settings, kafka)

    assert (done.lost_offsets, done.counts.read) == (2, 0)
    assert asked(settings, "select sum(sessions)::int from load_windows") == [(1,)]
    assert events(settings)[2:] == ["broker_back", "registry_back", "offsets_lost"]


class CutTables(DeltaTables):
    """Real tables, on a machine whose power goes right after a table was written."""

    def __init__(self, spark: SparkSession, home: str, after: str) -> None:
        super().__init__(spark, home)
        self._after = after

    def append(self, name, *given, **named) -> None:  # type: ignore[no-untyped-def]
        super().append(name, *given, **named)
        self._cut(name)

    def append_arrow(self, name, *given) -> None:  # type: ignore[no-untyped-def]
        super().append_arrow(name, *given)
        self._cut(name)

    def append_rows(self, name, *given) -> None:  # type: ignore[no-untyped-def]
        super().append_rows(name, *given)
        self._cut(name)

    def _cut(self, name: str) -> None:
        if name == self._after:
            raise OSError("the power goes")


def test_a_batch_cut_after_each_of_its_writes_ends_as_if_it_had_not_been(
    spark: SparkSession, kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = kafka.topic(2)
    send(kafka.bootstrap, topic, line(1), line(2) + b"\n" + line(2, server=2), b"not a session")
    send(kafka.bootstrap, topic, line(3), b"neither is this", partition=1)
    whole, cut = (settings_for(tmp_path / name, topic) for name in ("whole", "cut"))
    drained(spark, whole, kafka)

    def no_commit(*_given: object) -> None:
        raise OSError("the power goes")

    for after in ("the files of load_windows", "load_windows", "rejects", "ingest_log"):
        with monkeypatch.context() as patch, pytest.raises(StoreError, match="the power goes"):
            if after == "the files of load_windows":
                patch.setattr(delta_tables, "commit_files", no_commit)
            stream = stream_on(CutTables(spark, cut.home, after), cut)
            stream.run(kafka.bootstrap, available_now=True, stop=threading.Event())
    assert drained(spark, cut, kafka).counts.read == 6

    for query in (
        "select * from load_windows order by all",
        "select * exclude rejected_at from rejects order by all",
        "select * exclude (checkpoint_id, batch_time, committed_at, from_offsets, until_offsets) from ingest_log",
        "select * from hourly_load order by all",
        "select * from servers order by all",
    ):
        assert asked(cut, query) == asked(whole, query), query


MADE_ANEW = r"belongs to a topic that has been deleted and made anew; see .*runbook"


def make_anew(bootstrap: str, topic: str) -> None:
    """Delete the topic and make another of its name, with three lines."""
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.delete_topics([topic])
        until(lambda: topic not in admin.list_topics(), 30)
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    send(bootstrap, topic, line(2), line(3), line(4))


class Meanwhile(Silent):
    """Something that happens once the stream has begun, before its query looks for messages."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._happens = happens

    def step(self, *_told: object) -> None:
        happens, self._happens = self._happens, lambda: None
        happens()


def test_a_topic_made_anew_is_refused_in_one_line_before_its_first_lines_are_passed_over(
    spark: SparkSession, kafka: Kafka, tmp_path: Path
) -> None:
    topic = kafka.topic(1)
    settings = settings_for(tmp_path, topic)
    send(kafka.bootstrap, topic, line(1))
    drained(spark, settings, kafka)
    registry = ModelRegistry("", settings.model.name, settings.home)
    meanwhile = Meanwhile(lambda: make_anew(kafka.bootstrap, topic))
    stream = Stream(DeltaTables(spark, settings.home), settings, registry, meanwhile)

    with pytest.raises(StoreError, match=MADE_ANEW):
        stream.run(kafka.bootstrap, available_now=True, stop=threading.Event())

    with pytest.raises(StoreError, match=MADE_ANEW):
        drained(spark, settings, kafka)
    assert asked(settings, "select sum(sessions)::int from load_windows") == [(1,)]


def test_a_mark_that_a_killed_start_has_half_written_is_made_anew(spark: SparkSession, tmp_path: Path) -> None:
    mark = tmp_path / "serverload.json"
    mark.write_text('{"form')
    checkpoint = Checkpoint(spark, str(tmp_path))

    checkpoint.claim("a topic")

    (tmp_path / "metadata").write_text('{"id": "11111111-1111-1111-1111-111111111111"}')
    checkpoint.claim("a topic")
    with pytest.raises(StoreError, match=MADE_ANEW):
        checkpoint.claim("another")


@pytest.mark.parametrize("mark", ["", '{"format": 0}'])
def test_a_checkpoint_of_another_version_is_refused_in_one_line(
    spark: SparkSession, kafka: Kafka, tmp_path: Path, mark: str
) -> None:
    topic = kafka.topic(1)
    settings = settings_for(tmp_path, topic)
    checkpoint = tmp_path / "checkpoints" / topic
    checkpoint.mkdir(parents=True)
    (checkpoint / "metadata").write_text('{"id": "11111111-1111-1111-1111-111111111111"}')
    if mark:
        (checkpoint / "serverload.json").write_text(mark)

    with pytest.raises(
        StoreError, match=r"written by another version of serverload \(format 0, not 1\); see .*runbook"
    ):
        drained(spark, settings, kafka)


def told_by_a_killed_stream(spark: SparkSession, settings: Settings, *events: str) -> None:
    rows = [(datetime(2016, 6, 10, tzinfo=UTC), None, event, None, "does not answer") for event in events]
    DeltaTables(spark, settings.home).append("stream_log", spark.createDataFrame(rows, TABLES["stream_log"].ddl))


def test_large_messages_of_many_lines_tombstones_and_empty_values(
    spark: SparkSession, kafka: Kafka, tmp_path: Path
) -> None:
    topic = kafka.topic(1)
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        from kafka.admin import ConfigResource, ConfigResourceType

        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(16 << 20)})])
    settings = settings_for(tmp_path, topic)
    many = b"\n".join(line(minute % 60) for minute in range(10_000))
    send(kafka.bootstrap, topic, None, b"", many, b"x" * 5_000_000, b"\n\n", line(1), b"\xff\xfe")

    done = drained(spark, settings, kafka)

    assert (done.counts.read, done.counts.accepted, done.lost_offsets) == (10_003, 10_001, 0)
    assert asked(settings, "select reason, length(line), origin from rejects order by 1") == [
        ("columns", 4096, f"{topic}/0/3"),
        ("encoding", 2, f"{topic}/0/6"),
    ]


def test_a_running_stream_reads_new_partitions_and_outlives_a_broker_that_goes_away(
    spark: SparkSession, tmp_path: Path
) -> None:
    broker, stop = EmbeddedBroker(), threading.Event()
    try:
        kafka = Kafka(broker.start(tmp_path, port=0).bootstrap, "embedded")
        topic = kafka.topic(1)
        settings = settings_for(tmp_path, topic, metrics={"port": free_port()})
        stream, ended = stream_on(DeltaTables(spark, settings.home), settings), list[StreamResult]()
        running = threading.Thread(
            target=lambda: ended.append(stream.run(kafka.bootstrap, available_now=False, stop=stop))
        )
        running.start()
        send(kafka.bootstrap, topic, line(1))
        until(lambda: lines_read(settings) == 1)
        with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
            admin.create_partitions({topic: 3})
        until(lambda: sends_to(kafka.bootstrap, topic, 2))
        until(lambda: lines_read(settings) == 2)
        lag = [f'serverload_stream_lag_messages{{partition="{number}",topic="{topic}"}}' for number in range(3)]
        until(lambda: [scraped(settings).get(name) for name in lag] == [0, 0, 0])
        until(lambda: scraped(settings)["serverload_stream_lines_read_total"] == 2)
        assert scraped(settings)['serverload_trouble{about="broker"}'] == 0

        broker.stop(tmp_path)
        until(lambda: "broker_away" in events(settings), 180)
        assert scraped(settings)['serverload_trouble{about="broker"}'] == 1
        broker.start(tmp_path, port=int(kafka.bootstrap.rpartition(":")[2]))
        send(kafka.bootstrap, topic, line(3))
        until(lambda: events(settings)[-1:] == ["broker_back"])
        assert scraped(settings)['serverload_trouble{about="broker"}'] == 0
        stop.set()
        running.join(timeout=120)

        assert ended[0].counts.read == 3
        assert asked(settings, "select sum(sessions)::int from load_windows") == [(3,)]
    finally:
        stop.set()
        broker.stop(tmp_path)


def sends_to(bootstrap: str, topic: str, partition: int) -> bool:
    """Send a line to a partition that may not be known everywhere yet."""
    try:
        send(bootstrap, topic, line(2), partition=partition)
    except (AssertionError, ValueError):
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as asked_for:
        return int(asked_for.getsockname()[1])


def scraped(settings: Settings) -> dict[str, float]:
    """What Prometheus would read: value by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics.port}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(number) for name, _, number in (line.rpartition(" ") for line in lines)}


def lines_read(settings: Settings) -> int:
    return sum(int(str(read)) for (read,) in asked(settings, "select read from ingest_log")) if made(settings) else 0


def events(settings: Settings) -> list[object]:
    if not (Path(settings.home) / "tables" / "stream_log" / "_delta_log").exists():
        return []
    return [event for (event,) in asked(settings, "select event from stream_log order by event_at")]


def made(settings: Settings) -> bool:
    return (Path(settings.home) / "tables" / "ingest_log" / "_delta_log" / "00000000000000000000.json").exists()
