"""The replay into an event hub, by AMQP to a peer on the wire: killed, cut off, refused; every line is there once."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from amqp_hub import Hub
from amqp_peer import KEY, AmqpPeer
from azure.core.credentials import AccessToken
from azure.eventhub import TransportType
from secured_broker import make_authority
from secured_commands import command

from producers.event_hub import EventHub, HubLogin
from producers.event_hub_sender import EventHubSender
from producers.input_files import FileLines, input_files
from producers.line_facts import event_time_and_key
from producers.pace import WallClock
from producers.replay import ReplayOptions, ReplayResult, replay
from producers.synthetic import generate_history
from producers.topics import SOURCE_HEADER, partition_of
from serverload.contracts.errors import BrokerError

KILLED_AT = (0.1, 0.5)
START = """
import os, sys
from pathlib import Path
from producers.event_hub import EventHub, HubLogin
from producers.event_hub_sender import EventHubSender
from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
hub = EventHub("sessions", HubLogin(os.environ["CONNECTION_STRING"], options={"socket_timeout": 0.05}))
replay([sys.argv[1]], EventHubSender(hub), ReplayOptions(), WallClock(), positions=Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some thousand lines of dirty sessions."""
    out = tmp_path_factory.mktemp("history")
    generate_history(out, servers=6, days=3, start=date(2016, 5, 28), seed=5, dirty=0.05)
    return out


@pytest.fixture
def peer() -> Iterator[AmqpPeer]:
    """A hub of three partitions that takes small messages, so that there are many batches."""
    with AmqpPeer(Hub.of("sessions", 3, longest_message=20_000)).running() as running:
        yield running


def lines_of(folder: Path) -> list[bytes]:
    return [line for file in input_files([str(folder)]) for _, line in FileLines(file)]


def hub_of(peer: AmqpPeer) -> EventHub:
    """Waits less in between than over a network."""
    return EventHub("sessions", HubLogin(peer.connection_string, options={"socket_timeout": 0.05}))


def replayed(peer: AmqpPeer, folder: Path, home: Path) -> ReplayResult:
    with closing(EventHubSender(hub_of(peer))) as sender:
        return replay([str(folder)], sender, ReplayOptions(), WallClock(), positions=home)


def assert_each_line_once(hub: Hub, expected: list[bytes]) -> None:
    """Byte for byte, with its source, with its server as key, in the partition of its server."""
    assert Counter(event.body for event in hub.events()) == Counter(expected)
    sources = [str(event.properties[SOURCE_HEADER]).split(":") for event in hub.events()]
    assert len({run for run, _ in sources}) == 1
    assert sorted(int(number) for _, number in sources) == list(range(len(expected)))
    for partition, events in enumerate(hub.partitions):
        for event in events:
            key, number = event_time_and_key(event.body)[1], int(event.properties[SOURCE_HEADER].split(":")[1])
            assert (partition_of(key, number, 3), key and key.decode(errors="replace")) == (partition, event.key)


def test_lines_arrive_byte_for_byte_in_order_each_server_in_one_partition(peer, history, tmp_path):
    expected = lines_of(history)
    assert replayed(peer, history, tmp_path).sent == len(expected)
    assert_each_line_once(peer.hub, expected)
    for events in peer.hub.partitions:
        numbers = [int(event.properties[SOURCE_HEADER].split(":")[1]) for event in events]
        assert numbers == sorted(numbers)
    assert replayed(peer, history, tmp_path).sent == 0
    peer.hub = Hub.of("sessions", 3)
    assert replayed(peer, history, tmp_path).sent == len(expected) == len(peer.hub.events())


@pytest.mark.parametrize("harm", ["drop", "lose", "busy"])
def test_cut_off_or_put_off_every_line_is_there_once(peer, history, tmp_path, harm):
    peer.on_batch = lambda number: harm if number in (2, 9, 10) else "take"
    expected = lines_of(history)
    assert replayed(peer, history, tmp_path).sent == len(expected)
    assert_each_line_once(peer.hub, expected)
    assert peer.batches > 15


def test_killed_twice_and_started_again_every_line_is_there_once(peer, history, tmp_path):
    expected = lines_of(history)
    env = os.environ | {"CONNECTION_STRING": peer.connection_string, "PYTHONPATH": str(Path(__file__).parents[2])}
    for share in KILLED_AT:
        started = [sys.executable, "-c", START, str(history), str(tmp_path)]
        with subprocess.Popen(started, env=env) as process:
            while len(peer.hub.events()) < share * len(expected):
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
    assert len(peer.hub.events()) < len(expected)
    last = replayed(peer, history, tmp_path)
    assert (last.finished, last.sent + last.sent_before) == (True, len(expected))
    assert last.sent_before >= KILLED_AT[1] * len(expected)
    assert_each_line_once(peer.hub, expected)


def test_what_retention_has_deleted_cannot_be_told_and_others_messages_do_not_count(peer):
    with closing(EventHubSender(hub_of(peer))) as sender:
        sender.send(1, b"10.0.0.1", b"one", b"mine:0")
        sender.send(1, b"x" * 200, b"two", b"other:7")
        assert sender.flush() == {0: 0, 1: 2, 2: 0}
        assert (sender.sent_since({}, "mine"), sender.sent_since({1: 1}, "mine")) == ({0}, set())
        peer.hub.forget_before(1, 2)
        with pytest.raises(BrokerError, match=r"partition 1 no longer holds what was sent last \(.* 1 on\); use"):
            sender.sent_since({1: 1}, "mine")
        assert sender.sent_since({1: 2}, "mine") == set()


def test_a_line_that_is_too_long_is_told(peer):
    with closing(EventHubSender(hub_of(peer))) as sender:
        sender.send(0, None, b"short", b"run:0")
        with pytest.raises(BrokerError, match=r"^event hub sessions at .*: message run:1 is too long: it takes 20000"):
            sender.send(0, None, b"x" * 20_000, b"run:1")


def test_a_peer_that_takes_nothing_for_long_ends_in_one_line_and_nothing_is_sent_after_it(peer):
    peer.on_batch = lambda _number: "busy"
    hub = hub_of(peer)
    with closing(EventHubSender(hub, delivery_seconds=2)) as sender:
        sender.send(0, None, b"a line", b"run:0")
        with pytest.raises(BrokerError, match=r"does not answer \(server-busy\); check the connection string's"):
            sender.flush()
        batches = peer.batches
        sender.send(0, None, b"b line", b"run:1")
        sender.flush()
    assert peer.batches == batches


class EntraToken:
    """A credential as azure-identity's are."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **_options: object) -> AccessToken:
        assert scopes == ("https://eventhubs.azure.net//.default",)
        return AccessToken(self._token, int(time.time()) + 3600)


def test_an_entra_token_lets_in_over_tls_and_another_does_not(tmp_path):
    make_authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "broker.all.pem")
    with AmqpPeer(Hub.of("sessions", 1), tls, tokens=frozenset({"token of Entra"})).running() as peer:
        options = {
            "custom_endpoint_address": f"sb://127.0.0.1:{peer.port}",
            "transport_type": TransportType.Amqp,
            "connection_verify": str(tmp_path / "ca.pem"),
        }
        place = "fleet.servicebus.windows.net"
        hub = EventHub("sessions", HubLogin("", place, EntraToken("token of Entra"), options))
        with closing(EventHubSender(hub)) as sender:
            sender.send(0, None, b"a line", b"run:0")
            assert sender.flush() == {0: 1}
        other = EventHub("sessions", HubLogin("", place, EntraToken("another"), options))
        with pytest.raises(BrokerError, match=f"^event hub sessions at {place}: refuses this login, or gives it no"):
            EventHubSender(other)
    assert [event.body for event in peer.hub.events()] == [b"a line"]


def environment(connection_string: str, topic: str = "sessions") -> dict[str, str]:
    mine = {"SERVERLOAD_EVENTHUBS__CONNECTION_STRING": connection_string, "SERVERLOAD_STREAM__TOPIC": topic}
    kept = {key: entry for key, entry in os.environ.items() if not key.startswith(("SERVERLOAD_H", "PYSPARK_"))}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])} | mine


def test_the_command_sends_to_the_event_hub_that_is_set(peer, tmp_path):
    (tmp_path / "lines.csv").write_bytes(b"one\n\ntwo\n")
    arguments = ["replay", "lines.csv", "--max", "--home", "home"]
    ran = command(arguments, environment(peer.connection_string), tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "2 messages sent to sessions, 0 before; all sent\n")
    assert Counter(event.body for event in peer.hub.events()) == Counter([b"one", b"two"])
    again = command([*arguments, "--to", "eventhubs"], environment(peer.connection_string), tmp_path)
    assert again.stdout == "0 messages sent to sessions, 2 before; all sent\n"


@pytest.mark.parametrize(
    ("changed", "topic", "line"),
    [
        (("c2hhcmVk", "d2hhcmVk"), "sessions", "refuses this login, or gives it no right to do this; check "),
        (("", ""), "others", "there is none of this name; create it or check [stream] topic"),
        (("PORT", "1"), "sessions", "does not answer (socket-error); check the connection string's Endpoint, and "),
    ],
)
def test_what_is_refused_is_one_line_without_the_secret(peer, tmp_path, changed, topic, line):
    (tmp_path / "lines.csv").write_bytes(b"one\n")
    text = peer.connection_string.replace(*(str(peer.port) if part == "PORT" else part for part in changed))
    for flags in ([], ["--debug"]):
        ran = command(["replay", "lines.csv", "--home", "home", *flags], environment(text, topic), tmp_path)
        told = [each for each in ran.stderr.splitlines() if f"event hub {topic} at 127.0.0.1:" in each and line in each]
        assert (ran.returncode, ran.stdout, len(told)) == (1, "", 1), ran.stderr
        assert ("Traceback" in ran.stderr) == bool(flags)
        assert KEY[-20:] not in ran.stderr
    assert peer.hub.events() == []
