"""Secured brokers, by a real one: each way of login carries every line, and each refusal is one line, soon."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from secured_broker import KEY_PASSWORD, PASSWORDS, SecuredBroker
from secured_commands import SOON, command, environment

from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
from producers.senders import ConfluentSender, KafkaSender, Sender
from serverload.contracts.errors import BrokerError, SettingsError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.kafka_login import client_options, librdkafka_options
from serverload.store.model_registry import ModelRegistry
from streaming.stream import Stream


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of ten lines that become rejects: sums and forecasts would cost seconds for each login."""
    file = tmp_path_factory.mktemp("lines") / "lines.csv"
    file.write_text("".join(f"line {number}\n" for number in range(10)))
    return file


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all topics: making its tables anew takes longer than a stream."""
    return tmp_path_factory.mktemp("home")


def settings_of(secured: SecuredBroker, way: str, user: str, topic: str, home: Path, **changed: str) -> Settings:
    stream = {"topic": topic, "bootstrap": secured.bootstrap(way.split()[0])}
    return load_settings(flags={"home": str(home), "stream": stream, "kafka": secured.login(way, user) | changed})


def sender_of(kind: str, settings: Settings) -> Sender:
    place, client = (settings.stream.bootstrap, settings.stream.topic), client_options(settings.kafka)
    if kind == "confluent-kafka":
        return ConfluentSender(
            *place, client=client, librdkafka=librdkafka_options(settings.kafka), delivery_seconds=10
        )
    return KafkaSender(*place, client=client, delivery_seconds=10)


def drained(spark: SparkSession, settings: Settings) -> tuple[int, int]:
    """Lines that a stream has read, and of those refused, which stand in `rejects`."""
    stream = Stream(
        DeltaTables(spark, settings.home), settings, ModelRegistry("", settings.model.name, settings.home), Silent()
    )
    counts = stream.run(settings.stream.bootstrap, available_now=True, stop=threading.Event()).counts
    return counts.read, counts.rejected


@pytest.mark.parametrize(
    "way", ["SASL_PLAINTEXT PLAIN", "SASL_PLAINTEXT SCRAM-SHA-256", "SASL_SSL SCRAM-SHA-512", "SSL"]
)
def test_both_senders_and_the_stream_log_in_and_every_line_arrives(
    spark: SparkSession, secured: SecuredBroker, lines: Path, home: Path, tmp_path: Path, way: str
) -> None:
    topic = secured.make_topic(f"sessions {way}".replace(" ", "-"))
    written = settings_of(secured, way, "writer", topic, tmp_path)
    sent = 0
    for kind in ("kafka-python", "confluent-kafka"):
        with closing(sender_of(kind, written)) as sender:
            done = replay([str(lines)], sender, ReplayOptions(None), WallClock(), positions=tmp_path / kind)
        sent += done.sent
    assert sent == 20
    assert drained(spark, settings_of(secured, way, "reader", topic, home)) == (20, 20)


def test_one_connection_string_is_the_login_of_senders_and_stream(
    spark: SparkSession, secured: SecuredBroker, lines: Path, home: Path, tmp_path: Path
) -> None:
    topic = secured.make_topic("sessions-event-hub")
    flags = {
        "home": str(home),
        "stream": {"topic": topic, "bootstrap": secured.bootstrap("SASL_SSL")},
        "kafka": {"ca_file": str(secured.certificates / "ca.pem")},
        "eventhubs": {"connection_string": PASSWORDS["$ConnectionString"]},
    }
    settings = load_settings("azure", flags)
    assert settings.kafka.of_event_hubs
    for kind in ("kafka-python", "confluent-kafka"):
        with closing(sender_of(kind, settings)) as sender:
            assert replay([str(lines)], sender, ReplayOptions(None), WallClock(), positions=tmp_path / kind).sent == 10
    assert drained(spark, settings) == (20, 20)
    flags["eventhubs"] = {"connection_string": f"{PASSWORDS['$ConnectionString']}of-last-year"}
    with pytest.raises(BrokerError, match=r"refuses this user, .*: SERVERLOAD_EVENTHUBS__CONNECTION_STRING\)$"):
        sender_of("kafka-python", load_settings("azure", flags))


def test_a_login_without_the_right_to_read_ends_the_stream_in_one_line(
    spark: SparkSession, secured: SecuredBroker, home: Path
) -> None:
    topic = secured.make_topic("sessions-unread")
    writer = settings_of(secured, "SASL_SSL PLAIN", "writer", topic, home)
    with closing(sender_of("kafka-python", writer)) as sender:
        sender.send(0, None, b"a line", b"run:0")
        sender.flush()
    with pytest.raises(BrokerError) as refused:
        drained(spark, writer)
    assert str(refused.value) == (
        f"broker at {writer.stream.bootstrap}: gives this login no right to do this with topic 'sessions-unread'; "
        "stream needs Read on the topic, replay Write, and a topic that is not there Create; see docs/runbook.md"
    )


def test_a_password_that_was_changed_ends_the_stream_in_one_line(
    spark: SparkSession, secured: SecuredBroker, home: Path
) -> None:
    topic = secured.make_topic("sessions-changed")
    late = settings_of(secured, "SASL_SSL SCRAM-SHA-256", "reader", topic, home, password="of-last-year")
    begun = time.monotonic()
    with pytest.raises(
        BrokerError, match=r"refuses this user, its password or its mechanism; check \[kafka\] username"
    ):
        drained(spark, late)
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("kind", ["kafka-python", "confluent-kafka"])
def test_a_login_without_the_right_to_write_is_told_by_both_senders(
    secured: SecuredBroker, tmp_path: Path, kind: str
) -> None:
    topic = secured.make_topic(f"sessions-unwritten-{kind}")
    begun = time.monotonic()
    reader = settings_of(secured, "SASL_SSL PLAIN", "reader", topic, tmp_path)
    no_right = f"gives this login no right to do this with topic '{topic}'"
    with pytest.raises(BrokerError, match=no_right), closing(sender_of(kind, reader)) as sender:
        sender.send(0, None, b"a line", b"run:0")
        sender.flush()
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("changed", [{"key_password": "wrong"}, {"key_password": ""}, {"key_file": "writer.key"}])
def test_a_key_that_does_not_fit_is_told_before_anything_connects(
    secured: SecuredBroker, tmp_path: Path, changed: dict[str, str]
) -> None:
    if name := changed.get("key_file"):
        changed = {"key_file": str(secured.certificates / name)}
    settings = settings_of(secured, "SSL", "reader", "sessions", tmp_path, **changed)
    with pytest.raises(
        SettingsError, match=r"^\[kafka\] key_file: .* is no PEM key of .*, or its password is another; "
    ):
        client_options(settings.kafka)


@pytest.mark.parametrize(
    ("job", "way", "changed", "line"),
    [
        ("replay", "SASL_PLAINTEXT PLAIN", {"password": "WRONG"}, "refuses this user, its password or its mechanism; "),
        (
            "replay --debug",
            "SASL_SSL PLAIN",
            {"password": "WRONG"},
            "refuses this user, its password or its mechanism; ",
        ),
        ("replay --fast", "SASL_SSL SCRAM-SHA-512", {"password": "WRONG"}, "refuses this user, its password or"),
        (
            "replay",
            "SASL_SSL PLAIN",
            {"ca_file": "other-ca.pem"},
            "shows a certificate that is not trusted; set [kafka]",
        ),
        (
            "replay",
            "SASL_SSL PLAIN",
            {"topic": "not-ours"},
            "gives this login no right to do this with topic 'not-ours'; ",
        ),
        ("stream", "SSL", {"certificate_file": "", "key_file": ""}, "wants a client certificate that it trusts; set"),
    ],
)
def test_what_is_refused_is_one_line_soon(
    secured: SecuredBroker, lines: Path, tmp_path: Path, job: str, way: str, changed: dict[str, str], line: str
) -> None:
    if name := changed.get("ca_file"):
        changed = {"ca_file": str(secured.certificates / name)}
    env = environment(secured, way, "reader", **changed)
    ran = command([*job.split(), *([str(lines)] if "replay" in job else []), "--home", "home"], env, tmp_path)
    told = [
        each for each in ran.stderr.splitlines() if f"broker at {env['SERVERLOAD_STREAM__BOOTSTRAP']}: {line}" in each
    ]
    assert (ran.returncode, ran.stdout, len(told)) == (1, "", 1)
    assert ("Traceback" in ran.stderr) == ("--debug" in job)
    if "--debug" not in job:
        assert told[0].startswith("serverload: ")
        assert len(ran.stderr.splitlines()) <= 2  # the other names the step
    assert all(secret not in ran.stderr for secret in ("WRONG", PASSWORDS["reader"], KEY_PASSWORD))


def test_doctor_and_broker_status_log_in_too(secured: SecuredBroker, tmp_path: Path) -> None:
    home = str(secured.certificates.parent)
    fit = environment(secured, "SASL_PLAINTEXT PLAIN", "reader")
    unfit = environment(secured, "SASL_PLAINTEXT PLAIN", "reader", password="WRONG")
    assert (
        f"broker at {fit['SERVERLOAD_STREAM__BOOTSTRAP']}, pid"
        in command(["broker", "status", "--home", home], fit, tmp_path).stdout
    )
    refused = command(["broker", "status", "--home", home], unfit, tmp_path)
    assert (refused.returncode, "refuses this user" in refused.stderr) == (1, True)
    fine, ill = (command(["doctor", "--format", "csv"], env, tmp_path).stdout for env in (fit, unfit))
    assert f'broker,ok,"{fit["SERVERLOAD_STREAM__BOOTSTRAP"]}, ' in fine
    assert f'broker,NO,"broker at {fit["SERVERLOAD_STREAM__BOOTSTRAP"]}: refuses this user' in ill
