"""An Apache Kafka broker of one's own: one node in KRaft mode from the fetched jars, on 127.0.0.1 only.

Everything stands under `<home>/broker/`: data, logs, server.properties, broker.json. It runs on when the command
that started it ends, and whoever has the same home finds it by `bootstrap_for`.
"""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from serverload.contracts.errors import BrokerError, PlatformError
from serverload.contracts.homes import is_local
from serverload.store import broker_setup
from serverload.store.broker_process import BrokerProcess, launch, wait_until
from serverload.store.broker_setup import HOST
from serverload.store.jars import broker_jars
from serverload.store.kafka_access import require_login

DEFAULT_PORT = 9092
_ANSWER_MS = 5_000
_PORT_TRIES = 3


@dataclass(frozen=True)
class BrokerInfo:
    """A broker that was launched: its address for clients, its process, and whether it was seen ready."""

    bootstrap: str
    cluster_id: str
    process: BrokerProcess
    ready: bool
    log: Path


@dataclass(frozen=True)
class BrokerStatus:
    """What can be told of a home's broker now; `topics` is None where it does not answer."""

    running: bool
    bootstrap: str | None = None
    pid: int | None = None
    topics: int | None = None
    data_bytes: int = 0


@dataclass(frozen=True)
class EmbeddedBroker:
    """How to run a home's broker.

    `properties` are added to server.properties and win over ours; `{port}` and `{controller_port}` in their values
    stand for the chosen ports, so that SASL or TLS listeners can be added. `client` are kafka-python options for the
    readiness check where the broker then asks for a login; `format_options` go to `StorageTool format`.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)
    format_options: tuple[str, ...] = ()
    heap: str = "512m"
    ready_seconds: float = 90
    stop_seconds: float = 20

    def start(self, home: Path | str, port: int | None = None) -> BrokerInfo:
        """Return the home's running broker, starting it first if need be; only once it is ready for use.

        `port` None means 9092, 0 a free one. Raises PlatformError (port, disk, Java, jars) or BrokerError, one line
        each; a broker that did not become ready is stopped again.
        """
        folder = _broker_folder(home)
        if _running(folder) is None:
            broker_jars()  # a first fetch takes longer than another start should wait for the lock
        with self._locked(folder):
            running = _running(folder)
            if running is None:
                return self._launched(folder, DEFAULT_PORT if port is None else port)
            if port and not running.bootstrap.endswith(f":{port}"):
                raise BrokerError(f"the broker of {home} runs on {running.bootstrap}", hint="stop it to move it")
            return running if running.ready else self._when_ready(folder, running)

    def stop(self, home: Path | str) -> bool:
        """End the home's broker (SIGTERM, bounded wait, SIGKILL); False when none was running. Data stays."""
        folder = _broker_folder(home)
        if not folder.exists():
            return False
        with self._locked(folder):
            running = _running(folder)
            if running is not None and not running.process.end(self.stop_seconds):
                raise BrokerError(f"process {running.process.pid} does not end", where=str(folder))
            (folder / "broker.json").unlink(missing_ok=True)
            return running is not None

    def status(self, home: Path | str) -> BrokerStatus:
        """Tell whether the home's broker runs and answers, and what its data takes on disk.

        Raises BrokerError where it refuses the login.
        """
        folder = _broker_folder(home)
        data_bytes = sum(_allocated(path) for path in (folder / "data").rglob("*"))
        running = _running(folder)
        if running is None:
            return BrokerStatus(running=False, data_bytes=data_bytes)
        topics = topic_count(running.bootstrap, self.client)
        return BrokerStatus(True, running.bootstrap, running.process.pid, topics, data_bytes)

    def _launched(self, folder: Path, port: int) -> BrokerInfo:
        """Launch and wait; again with new ports where another program took a free one in between."""
        for _ in range(_PORT_TRIES - 1):
            try:
                return self._when_ready(folder, self._launch(folder, port))
            except BrokerError as error:
                if "Address already in use" not in str(error):
                    raise
        return self._when_ready(folder, self._launch(folder, port))

    def _launch(self, folder: Path, port: int) -> BrokerInfo:
        """Check the machine, write the configuration, format once, start the JVM, record its process."""
        broker_setup.check_disk(folder)
        java = broker_setup.java_command(self.heap)
        ports = broker_setup.chosen_ports(port)
        broker_setup.write_configuration(folder, ports, self.properties)
        cluster_id = broker_setup.cluster_id_of(folder, java, self.format_options)
        mark = f"-Dserverload.broker={folder}"
        command = [*java, mark, "-Dlog4j2.configurationFile=log4j2.properties", "kafka.Kafka", "server.properties"]
        process = launch(command, mark=mark, folder=folder, output=folder / "logs" / "jvm.out")
        log = folder / "logs" / "broker.log"
        return _recorded(folder, BrokerInfo(f"{HOST}:{ports[0]}", cluster_id, process, ready=False, log=log))

    def _when_ready(self, folder: Path, launched: BrokerInfo) -> BrokerInfo:
        """Wait until a topic can be made and seen; an open port is not readiness. Stop the broker if it never is."""
        process = launched.process
        settled = wait_until(lambda: not process.alive() or _ready(launched.bootstrap, self.client), self.ready_seconds)
        if settled and process.alive():
            return _recorded(folder, replace(launched, ready=True))
        what = "ended while starting" if settled else f"was not ready after {self.ready_seconds:g} s"
        words = broker_setup.last_words(folder)  # before it is ended, which fills the log with farewells
        process.end(self.stop_seconds)
        (folder / "broker.json").unlink(missing_ok=True)
        raise BrokerError(f"the broker {what}: {words}", hint=f"see {launched.log}")

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        """Keep two starts or stops of one home apart; the second waits, bounded."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=self.ready_seconds + self.stop_seconds):
                yield
        except Timeout as error:
            raise BrokerError("another command is starting or stopping this broker", where=str(folder)) from error
        except OSError as error:
            hint = "mend its permissions, or choose another --home"
            raise PlatformError(f"{error.strerror or error}", where=str(error.filename or folder), hint=hint) from error


def bootstrap_for(home: Path | str) -> str | None:
    """Return the address of the home's running broker, None without one; looks at files and processes only."""
    if not is_local(str(home)):
        return None
    running = _running(_broker_folder(home))
    return running.bootstrap if running and running.ready else None


def _broker_folder(home: Path | str) -> Path:
    """Return `<home>/broker`, absolute, so that the same home gives the same mark from every working folder."""
    if not is_local(str(home)):
        raise PlatformError("the embedded broker needs a home on a local disk", where=str(home), hint="set --home")
    return Path(home).expanduser().resolve() / "broker"


def _running(folder: Path) -> BrokerInfo | None:
    """Return the recorded broker if that very process still runs."""
    try:
        told = json.loads((folder / "broker.json").read_text(encoding="utf-8"))
        info = BrokerInfo(**(told | {"process": BrokerProcess(**told["process"]), "log": Path(told["log"])}))
    except (OSError, ValueError, TypeError, KeyError):  # absent, or not by us: then there is none that we may touch
        return None
    return info if info.process.alive() else None


def _recorded(folder: Path, info: BrokerInfo) -> BrokerInfo:
    """Write broker.json, whole or not at all, and return what it tells."""
    partial = folder / "broker.json.partial"
    partial.write_text(json.dumps(asdict(info) | {"log": str(info.log)}, indent=2), encoding="utf-8")
    partial.replace(folder / "broker.json")
    return info


def _ready(bootstrap: str, client: Mapping[str, Any]) -> bool:
    """Tell whether the broker describes its cluster and makes, shows and deletes a topic."""
    from kafka import KafkaAdminClient  # here: finding a broker need not pay for the client's import
    from kafka.errors import KafkaError

    if not _listens(bootstrap):
        return False
    probe = f"serverload-ready-{uuid.uuid4().hex[:8]}"
    try:
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap, **_bounded(client))) as admin:
            if not admin.describe_cluster()["brokers"]:
                return False
            admin.create_topics({probe: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
            admin.delete_topics([probe])
            return wait_until(lambda: probe not in admin.list_topics(), _ANSWER_MS / 1000)
    except KafkaError:
        return False


def topic_count(bootstrap: str, client: Mapping[str, Any]) -> int | None:
    """Return how many topics there are to see, None when no broker answers in time. Raises BrokerError if refused."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    if not any(_listens(address) for address in bootstrap.split(",")):
        return None
    require_login(bootstrap, client)
    try:
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap, **_bounded(client))) as admin:
            return sum(not name.startswith("__") for name in admin.list_topics())
    except KafkaError:
        return None


def _bounded(client: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a client that gives up soon."""
    return {"bootstrap_timeout_ms": _ANSWER_MS, "request_timeout_ms": _ANSWER_MS, **client}


def _listens(bootstrap: str) -> bool:
    """Tell whether the port is open: asking Kafka's client before that only makes it log warnings."""
    host, _, port = bootstrap.strip().rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except (OSError, ValueError):  # ValueError: an address without a port
        return False


def _allocated(path: Path) -> int:
    """Return the disk space of a file (index files are sparse); 0 for one that was deleted meanwhile."""
    try:
        return path.stat().st_blocks * 512 if path.is_file() else 0
    except FileNotFoundError:
        return 0
