"""Nothing that a stream writes, says or shows holds a secret of its login: not as it is, not in base64."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives import serialization
from secured_broker import KEY_PASSWORD, PASSWORDS, SecuredBroker
from secured_commands import command, command_line, environment

from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
from producers.senders import KafkaSender
from producers.synthetic import generate_history
from serverload.contracts.settings import load_settings
from serverload.store.kafka_login import client_options

WORD, HUB_WORD = "R3c0gn1sable", "0therS3cret"
OF_EVENT_HUBS = f"Endpoint=sb://fleet/;SharedAccessKeyName=all;SharedAccessKey={HUB_WORD};EntityPath="
UP_SECONDS = 90.0
SETTINGS = """
[stream]
trigger_seconds = 0.5
[spark]
driver_memory = "1g"
[spark.settings]
"spark.eventLog.enabled" = "true"
"spark.eventLog.compress" = "false"
"spark.eventLog.rolling.enabled" = "false"
"spark.eventLog.dir" = "{events}"
"spark.log.level" = "INFO"
"spark.ui.enabled" = "true"
"spark.ui.port" = "{port}"
"spark.sql.shuffle.partitions" = "2"
"""
PAGES = (
    *("jobs/", "stages/", "storage/", "environment/", "executors/", "SQL/", "StreamingQuery/"),
    *(f"SQL/execution/?id={number}" for number in range(12)),
)
ANSWERS = ("environment", "jobs", "stages?details=true", "sql?details=true&planDescription=true&length=1000")


def needles(secured: SecuredBroker) -> list[bytes]:
    """What must not be found: password and key password, plain and in base64 at any offset, and the private key."""
    file = secured.certificates / "reader.key"
    key = serialization.load_pem_private_key(file.read_bytes(), KEY_PASSWORD.encode())
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert WORD in PASSWORDS["reader"]
    words = [WORD.encode(), HUB_WORD.encode(), KEY_PASSWORD.encode()]
    shifted = [b64encode(b"." * shift + word)[4:-4] for word in words for shift in range(3)]
    return [*words, *shifted, b64encode(plain)[64:104], file.read_bytes().splitlines()[2][:40]]


@pytest.fixture(scope="module")
def topic(secured: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A topic with a day of sessions."""
    folder = tmp_path_factory.mktemp("sessions")
    generate_history(folder, servers=1, days=1, start=date(2016, 5, 1), seed=3)
    name = secured.make_topic("sessions-hidden")
    writer = load_settings(flags={"kafka": secured.login("SASL_SSL PLAIN", "writer")})
    with closing(KafkaSender(secured.bootstrap("SASL_SSL"), name, client=client_options(writer.kafka))) as sender:
        assert replay([str(folder)], sender, ReplayOptions(None), WallClock(), positions=folder).sent > 0
    return name


def test_no_secret_is_written_said_or_shown(secured: SecuredBroker, topic: str, tmp_path: Path) -> None:
    seen, secrets = tmp_path / "seen", tmp_path / "secrets"
    for folder in (seen / "events", seen / "tmp", secrets):
        folder.mkdir(parents=True)
    port = free_port()
    (seen / "mine.toml").write_text(SETTINGS.format(events=seen / "events", port=port))
    env = environment(secured, "SASL_SSL PLAIN", "reader", topic, **secured.own_certificate("reader"))
    (secrets / "SERVERLOAD_KAFKA__PASSWORD").write_text(env.pop("SERVERLOAD_KAFKA__PASSWORD") + "\n")
    (secrets / "SERVERLOAD_EVENTHUBS__CONNECTION_STRING").write_text(f"{OF_EVENT_HUBS}{topic}\n")
    env |= {"SERVERLOAD_SECRETS_DIR": str(secrets), "TMPDIR": str(seen / "tmp")}
    arguments = ["--config", str(seen / "mine.toml"), "--home", str(seen / "home")]
    (seen / "config").write_text(command(["config", "show", *arguments], env, tmp_path).stdout)
    with (
        (seen / "out").open("wb") as out,
        subprocess.Popen(command_line("stream", *arguments), cwd=tmp_path, env=env, stdout=out, stderr=out) as stream,
    ):
        try:
            wait_for_a_batch(seen / "home", stream)
            (seen / "processes").write_bytes(command_lines())
            for number, page in enumerate(pages(f"http://127.0.0.1:{port}")):
                (seen / f"page-{number}").write_bytes(page)
            while_running = found(seen, needles(secured))
        finally:
            stream.send_signal(signal.SIGTERM)
            stream.wait(60)
    assert while_running == found(seen, needles(secured)) == []
    assert stream.returncode == 0
    assert b" accepted + 0 rejected" in (seen / "out").read_bytes()
    looked_at_what_would_show_them(seen)


def looked_at_what_would_show_them(seen: Path) -> None:
    """The places in which Spark and Kafka tell of the login, with the secret hidden, were among what was searched."""
    assert b"sasl.jaas.config = [hidden]" in (seen / "home" / "logs" / "spark.log").read_bytes()
    assert b"ssl.keystore.key = [hidden]" in (seen / "home" / "logs" / "spark.log").read_bytes()
    # read once: Spark's Java, which ends after the stream, gives the file another name at its end
    (events,) = [file.read_bytes() for file in (seen / "events").iterdir()]
    assert b"SparkListenerSQLExecutionStart" in events
    shown = b"".join(page.read_bytes() for page in seen.glob("page-*"))
    assert b"serverload-ingest" in shown
    assert b"KafkaV2[Subscribe[sessions-hidden]]" in events + shown
    assert b"java" in (seen / "processes").read_bytes()
    assert "**********" in (seen / "config").read_text()


def found(folder: Path, secrets: list[bytes]) -> list[tuple[str, bytes]]:
    """Files with a secret in them, and which."""
    hits = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # Spark tidies up meanwhile
            content = file.read_bytes() if file.is_file() else b""
            hits += [(str(file.relative_to(folder)), secret) for secret in secrets if secret in content]
    return hits


def wait_for_a_batch(home: Path, stream: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while not list((home / "tables" / "ingest_log" / "_delta_log").glob("*1.json")):
        assert stream.poll() is None, "the stream has ended"
        assert time.monotonic() < deadline, "no batch has come"
        time.sleep(0.2)


def pages(address: str) -> Iterator[bytes]:
    """The pages of Spark's UI, a page for each query, and the answers of its REST interface."""
    streams = read(f"{address}/StreamingQuery/")
    yield streams
    for link in {
        part.split(b'"')[0] for part in streams.split(b'href="') if b"StreamingQuery/statistics" in part[:200]
    }:
        yield read(link.decode() if link.startswith(b"http") else f"{address}{link.decode()}")
    for page in PAGES:
        with suppress(URLError):  # a number without an execution
            yield read(f"{address}/{page}")
    applications = read(f"{address}/api/v1/applications")
    identity = json.loads(applications)[0]["id"]
    for answer in ANSWERS:
        yield read(f"{address}/api/v1/applications/{identity}/{answer}")


def read(address: str) -> bytes:
    with urlopen(address, timeout=20) as answer:
        return bytes(answer.read())


def command_lines() -> bytes:
    """The arguments of all processes of this machine, as anyone on it can see them."""
    return subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, check=True).stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
