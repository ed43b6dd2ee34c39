"""The embedded broker: its life, what survives it, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from serverload.cli.demo import _make_anew
from serverload.contracts.errors import BrokerError, PlatformError
from serverload.store.broker import BrokerInfo, BrokerStatus, EmbeddedBroker, bootstrap_for
from serverload.store.broker_process import BrokerProcess, launch

BROKER = EmbeddedBroker()
START = "import sys; from serverload.store.broker import EmbeddedBroker as B; started = B().start(sys.argv[1], 0)"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose name holds what breaks careless path handling; its broker is stopped at the end."""
    home = tmp_path / "my home, 50% ü"
    yield home
    BROKER.stop(home)


def send(bootstrap: str, topic: str, numbers: range) -> None:
    with closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        sent = [producer.send(topic, key=str(n % 7).encode(), value=str(n).encode()) for n in numbers]
        producer.flush()
        assert all(future.get(timeout=30) for future in sent)


def received(bootstrap: str, topic: str) -> list[int]:
    """Read a topic from its first to its present last message."""
    with closing(KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=10_000)) as consumer:
        parts = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        expected = sum(consumer.end_offsets(parts).values())
        return [int(message.value) for message in islice(consumer, expected)]


def make_topic(bootstrap: str, name: str) -> str:
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics({name: {"num_partitions": 4, "replication_factor": 1}}, wait_for_metadata=True)
    return name


def test_every_acknowledged_message_is_read_back(kafka):
    topic = kafka.topic(partitions=4)
    send(kafka.bootstrap, topic, range(2000))
    assert sorted(received(kafka.bootstrap, topic)) == list(range(2000))


def test_messages_carry_the_brokers_time_not_the_events(home):
    bootstrap = BROKER.start(home, port=0).bootstrap
    topic = make_topic(bootstrap, "replayed")
    with closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        answer = producer.send(topic, value=b"years old", timestamp_ms=1_000_000_000_000).get(timeout=30)
    assert abs(answer.timestamp / 1000 - time.time()) < 3600


def test_an_unknown_topic_is_not_made_by_sending_to_it(home):
    bootstrap = BROKER.start(home, port=0).bootstrap
    with (
        closing(KafkaProducer(bootstrap_servers=bootstrap, max_block_ms=2_000)) as producer,
        pytest.raises(KafkaError),
    ):
        producer.send("mistyped", value=b"x").get(timeout=5)
    assert BROKER.status(home).topics == 0


def test_a_started_broker_is_found_by_its_home_and_a_stopped_one_is_not(home):
    assert bootstrap_for(home) is None
    started = BROKER.start(home, port=0)
    status = BROKER.status(home)
    assert bootstrap_for(home) == started.bootstrap
    assert (status.running, status.bootstrap, status.topics) == (True, started.bootstrap, 0)
    assert BROKER.stop(home) is True
    assert bootstrap_for(home) is None
    assert BROKER.status(home).running is False
    assert BROKER.stop(home) is False


def test_starting_twice_gives_the_same_broker(home):
    first = BROKER.start(home, port=0)
    assert BROKER.start(home, port=0) == BROKER.start(home) == first
    with pytest.raises(BrokerError, match=f"runs on {first.bootstrap}; stop it to move it"):
        BROKER.start(home, port=1)


def test_a_new_topic_can_be_used_as_soon_as_start_returns(home):
    bootstrap = BROKER.start(home, port=0).bootstrap
    topic = make_topic(bootstrap, "at-once")
    send(bootstrap, topic, range(10))
    from_first = {"group_id": "g", "auto_offset_reset": "earliest", "consumer_timeout_ms": 10_000}
    with closing(KafkaConsumer(topic, bootstrap_servers=bootstrap, **from_first)) as group:
        assert len(list(islice(group, 10))) == 10


def test_the_broker_outlives_the_command_that_started_it(home):
    subprocess.run([sys.executable, "-c", START, str(home)], check=True, timeout=120)
    assert BROKER.status(home).topics == 0


def test_a_restart_keeps_messages_and_cluster_also_on_another_port(home):
    before = BROKER.start(home, port=0)
    topic = make_topic(before.bootstrap, "kept")
    send(before.bootstrap, topic, range(500))
    BROKER.stop(home)
    after = BROKER.start(home, port=0)
    assert after.cluster_id == before.cluster_id
    assert sorted(received(after.bootstrap, topic)) == list(range(500))


def test_after_a_kill_the_next_start_recovers_every_acknowledged_message(home):
    before = BROKER.start(home, port=0)
    topic = make_topic(before.bootstrap, "killed")
    send(before.bootstrap, topic, range(500))
    os.kill(before.process.pid, signal.SIGKILL)
    while before.process.alive():
        time.sleep(0.01)
    assert bootstrap_for(home) is None
    after = BROKER.start(home, port=0)
    assert sorted(received(after.bootstrap, topic)) == list(range(500))


def test_a_port_in_use_is_refused_with_the_way_out(home):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PlatformError) as refused:
            BROKER.start(home, port=port)
    assert str(refused.value) == (
        f"port {port} on 127.0.0.1 is in use; choose another with `--port N`, or `--port 0` for a free one"
    )


def test_another_process_under_the_recorded_pid_is_never_touched(home):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        folder = home / "broker"
        folder.mkdir(parents=True)
        record = {
            "bootstrap": "127.0.0.1:1",
            "cluster_id": "x",
            "process": {"pid": bystander.pid, "started": start_ticks(bystander.pid), "mark": "-Dserverload.broker=x"},
            "ready": True,
            "log": "x",
        }
        (folder / "broker.json").write_text(json.dumps(record))
        assert BROKER.status(home) == BrokerStatus(running=False)
        assert BROKER.stop(home) is False
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_later_process_with_our_mark_but_another_start_time_is_not_ours(home):
    started = BROKER.start(home, port=0)
    earlier = BrokerProcess(started.process.pid, "1", started.process.mark)
    assert not earlier.alive()
    assert earlier.end(1)
    assert started.process.alive()


def test_a_demo_begun_anew_ends_the_broker_that_a_killed_one_left(tmp_path):
    """A process that sleeps stands for the broker: what tells it is the mark in its arguments."""
    home = tmp_path / "demo"
    _make_anew(home)
    (home / "broker").mkdir()
    mark = f"-Dserverload.broker={home}/broker"
    command = [sys.executable, "-c", "import time; time.sleep(600)", mark]
    process = launch(command, mark=mark, folder=home, output=tmp_path / "out")
    info = BrokerInfo("127.0.0.1:1", "x", process, ready=True, log=tmp_path)
    (home / "broker" / "broker.json").write_text(json.dumps(asdict(info), default=str))
    assert BROKER.status(home).running

    _make_anew(home)

    assert not process.alive()
    assert [file.name for file in home.iterdir()] == [".serverload-demo"]


def start_ticks(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_a_broker_that_dies_at_its_start_is_reported_with_its_own_words_and_its_log(home):
    broken = EmbeddedBroker(properties={"num.io.threads": "many"})
    with pytest.raises(BrokerError) as died:
        broken.start(home, port=0)
    line = str(died.value)
    assert "num.io.threads" in line
    assert "\n" not in line
    assert bootstrap_for(home) is None


def test_two_starts_at_once_give_one_broker(home):
    script = f"{START}; print(started.bootstrap)"
    command = [sys.executable, "-c", script, str(home)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    addresses = {process.communicate(timeout=120)[0].strip() for process in both}
    assert addresses == {bootstrap_for(home)}


def test_a_home_in_the_cloud_has_no_embedded_broker():
    assert bootstrap_for("abfss://data@account.dfs.core.windows.net/home") is None
    with pytest.raises(PlatformError, match="needs a home on a local disk"):
        BROKER.start("abfss://data@account.dfs.core.windows.net/home")
