"""The one place that chooses the broker of the live tests.

In this order: the address in SERVERLOAD_TEST_KAFKA; a Kafka in a container, where a Docker engine answers at once;
the embedded broker in a temporary home, on free ports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from secured_broker import SecuredBroker, secured_broker

from serverload.store.broker import EmbeddedBroker

ENGINE_SECONDS = 3


@dataclass(frozen=True)
class Kafka:
    """A running broker: its address and where it came from ('address', 'container' or 'embedded')."""

    bootstrap: str
    kind: str

    def topic(self, partitions: int = 4) -> str:
        """Create a topic of its own for the test that asks; it returns when every partition has a leader."""
        name = f"sessions-{uuid.uuid4().hex[:12]}"
        options = {
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": {"message.timestamp.type": "LogAppendTime"},
        }
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.create_topics({name: options}, wait_for_metadata=True)
        return name


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Yield a broker for the whole session; one that was started here is stopped at the end."""
    if address := os.environ.get("SERVERLOAD_TEST_KAFKA"):
        yield Kafka(address, "address")
    elif _engine_answers():
        with _container() as bootstrap:
            yield Kafka(bootstrap, "container")
    else:
        with _embedded(tmp_path_factory.mktemp("kafka-home")) as bootstrap:
            yield Kafka(bootstrap, "embedded")


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """Yield an embedded broker that asks for a login."""
    home = tmp_path_factory.mktemp("secured-home")
    with _stopped_even_after_a_kill(home), secured_broker(home) as broker:
        yield broker


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.kafka import KafkaContainer  # here, because its import already asks the engine

    plain = KafkaContainer().with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    with plain as container:
        yield container.get_bootstrap_server()


@contextmanager
def _embedded(home: Path) -> Iterator[str]:
    broker = EmbeddedBroker()
    with _stopped_even_after_a_kill(home):
        try:
            yield broker.start(home, port=0).bootstrap
        finally:
            broker.stop(home)
            shutil.rmtree(home / "broker" / "data", ignore_errors=True)


@contextmanager
def _stopped_even_after_a_kill(home: Path) -> Iterator[None]:
    """Let a small process stop the broker when our end of its pipe closes, however this one ends."""
    watch = (
        "import sys; from serverload.store.broker import EmbeddedBroker as B; sys.stdin.read(); B().stop(sys.argv[1])"
    )
    command = [sys.executable, "-c", watch, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


def _engine_answers() -> bool:
    """Tell whether a Docker engine answers soon; having the client proves nothing."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    asked = [docker, "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(asked, capture_output=True, timeout=ENGINE_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
