"""The replay against a real Kafka: killed and started again, every line is there once, byte for byte."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from producers.input_files import FileLines, input_files
from producers.line_facts import event_time_and_key
from producers.pace import WallClock
from producers.replay import ReplayOptions, ReplayResult, replay
from producers.senders import ConfluentSender, KafkaSender
from producers.synthetic import generate_history
from producers.topics import SOURCE_HEADER, ensure_topic, partition_of
from serverload.contracts.errors import BrokerError

SENDERS = {"kafka-python": KafkaSender, "confluent-kafka": ConfluentSender}
START = """
import sys
from pathlib import Path
from producers import senders
from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
bootstrap, topic, csv, home, kind = sys.argv[1:]
sender = getattr(senders, kind)(bootstrap, topic)
replay([csv], sender, ReplayOptions(), WallClock(), positions=Path(home))
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 100,000 lines of dirty sessions."""
    out = tmp_path_factory.mktemp("history")
    generate_history(out, servers=15, days=35, start=date(2016, 5, 28), seed=11, dirty=0.05)
    return out


def lines_of(folder: Path) -> list[bytes]:
    return [line for file in input_files([str(folder)]) for _, line in FileLines(file)]


def records_of(bootstrap: str, topic: str) -> list:
    """Everything in the topic, partition by partition in order."""
    with closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        records: list = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for polled in consumer.poll(timeout_ms=500, max_records=20_000).values():
                records += polled
    return sorted(records, key=lambda record: (record.partition, record.offset))


def message_count(bootstrap: str, topic: str) -> int:
    with closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        return sum(consumer.end_offsets(partitions).values())


def replayed(bootstrap: str, topic: str, folder: Path, home: Path, sender=KafkaSender, **options) -> ReplayResult:
    with closing(sender(bootstrap, topic)) as opened:
        return replay([str(folder)], opened, ReplayOptions(**options), WallClock(), positions=home)


@pytest.mark.parametrize("kind", SENDERS)
def test_killed_twice_and_started_again_every_line_is_there_once_byte_for_byte(kafka, history, tmp_path, kind):
    topic, sender = kafka.topic(partitions=3), SENDERS[kind]
    expected = lines_of(history)
    arguments = [kafka.bootstrap, topic, str(history), str(tmp_path / "home"), sender.__name__]
    for share in (0.1, 0.4):
        with subprocess.Popen([sys.executable, "-c", START, *arguments]) as process:
            while message_count(kafka.bootstrap, topic) < share * len(expected):
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    assert message_count(kafka.bootstrap, topic) < len(expected)
    last = replayed(kafka.bootstrap, topic, history, tmp_path / "home", sender)
    assert last.finished
    assert last.sent_before > 0.4 * len(expected)
    records = records_of(kafka.bootstrap, topic)
    assert Counter(record.value for record in records) == Counter(expected)
    assert {record.key for record in records} == {event_time_and_key(line)[1] for line in expected}
    sources = [(dict(record.headers)[SOURCE_HEADER].decode().split(":"), record) for record in records]
    assert len({run for (run, _), _ in sources}) == 1
    assert sorted(int(number) for (_, number), _ in sources) == list(range(len(expected)))
    assert all(record.partition == partition_of(record.key, int(number), 3) for (_, number), record in sources)
    assert replayed(kafka.bootstrap, topic, history, tmp_path / "home", sender).sent == 0
    assert message_count(kafka.bootstrap, topic) == len(expected)


def test_each_partition_holds_its_lines_in_the_order_of_the_replay(kafka, tmp_path):
    generate_history(tmp_path / "csv", servers=5, days=2, start=date(2016, 5, 28), seed=1)
    topic = kafka.topic(partitions=2)
    replayed(kafka.bootstrap, topic, tmp_path / "csv", tmp_path / "home")
    numbers: dict[int, list[int]] = {0: [], 1: []}
    for record in records_of(kafka.bootstrap, topic):
        numbers[record.partition].append(int(dict(record.headers)[SOURCE_HEADER].split(b":")[1]))
    assert all(sent == sorted(sent) for sent in numbers.values())


def test_a_topic_is_made_once_with_the_brokers_own_timestamps(kafka):
    name = f"made-{uuid.uuid4().hex[:8]}"
    made = ensure_topic(kafka.bootstrap, name, 5)
    assert (made.topic, made.partitions) == (name, 5)
    assert ensure_topic(kafka.bootstrap, name, 2) == made
    began = time.time()
    with closing(KafkaSender(kafka.bootstrap, name)) as sender:
        sender.send(4, b"10.0.0.1", b"2009-01-01 00:00:00,", b"run:0")
        assert sender.flush() == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1}
        assert sender.sent_since({}, "run") == {0}
        assert sender.sent_since({4: 1}, "run") == set()
        assert sender.sent_since({}, "other") == set()
        with pytest.raises(BrokerError, match="partition 2 no longer holds what was sent last"):
            sender.sent_since({2: 7}, "run")
    (record,) = records_of(kafka.bootstrap, name)
    assert record.timestamp_type == 1
    assert record.timestamp / 1000 >= began - 5


def test_a_topic_deleted_and_made_anew_gets_everything_again(kafka, tmp_path):
    generate_history(tmp_path / "csv", servers=2, days=1, start=date(2016, 5, 28), seed=1)
    name = f"anew-{uuid.uuid4().hex[:8]}"
    first = ensure_topic(kafka.bootstrap, name, 1)
    sent = replayed(kafka.bootstrap, name, tmp_path / "csv", tmp_path / "home").sent
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.delete_topics([name])
        while name in admin.list_topics():
            time.sleep(0.1)
    assert ensure_topic(kafka.bootstrap, name, 1).topic_id != first.topic_id
    assert replayed(kafka.bootstrap, name, tmp_path / "csv", tmp_path / "home").sent == sent > 0


@pytest.mark.parametrize("kind", SENDERS)
def test_a_long_dirty_line_arrives_too(kafka, tmp_path, kind):
    (tmp_path / "a.csv").write_bytes(b"x" * 7_000_000 + b"\nshort\n")
    name = f"long-{uuid.uuid4().hex[:8]}"
    ensure_topic(kafka.bootstrap, name, 1)
    assert replayed(kafka.bootstrap, name, tmp_path, tmp_path / "home", SENDERS[kind]).sent == 2
    assert [len(record.value) for record in records_of(kafka.bootstrap, name)] == [7_000_000, 5]


@pytest.mark.parametrize("kind", SENDERS)
def test_no_broker_and_no_topic_are_one_line_each(kafka, kind):
    with pytest.raises(
        BrokerError, match=r"^broker at 127\.0\.0\.1:1: does not answer; start it with `serverload broker"
    ):
        SENDERS[kind]("127.0.0.1:1", "sessions", client={"bootstrap_timeout_ms": 1500})
    with pytest.raises(BrokerError, match=r"no topic 'absent'; create it"):
        SENDERS[kind](kafka.bootstrap, "absent")
