"""An event hub's side of AMQP 1.0, kept in memory: Apache Qpid Proton, and on it what clients of Event Hubs ask for.

That is: SASL ANONYMOUS, then tokens put at `$cbs`; properties of hub and partitions from `$management`; links to
`hub/Partitions/n` that take batches, each wholly or not at all; receivers of a consumer group with a filter by
sequence number. On request it breaks connections, before or after it has kept a batch, and says that it is busy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, quote

from amqp_hub import KEY_ANNOTATION, Event, Hub, facts_of_hub, facts_of_partition, messages, outgoing
from amqp_relay import relay_to
from proton import Condition, Delivery, Endpoint, Message, symbol
from proton import Handler as ProtonHandler
from proton.reactor import ApplicationEvent, Container, EventInjector

KEY_NAME, KEY = "sender", "c2hhcmVkIGtleSBvZiB0aGUgdGVzdHM=+/"
_CBS, _MANAGEMENT = "$cbs", "$management"
_FROM = re.compile(r"amqp\.annotation\.x-opt-sequence-number (>=?) '(-?\d+)'")


class AmqpPeer:
    """A running peer. `on_batch` is told each batch's number and answers take, drop (cut the connection before it is
    kept), lose (after, so that no answer arrives) or busy."""

    def __init__(self, hub: Hub, tls: ssl.SSLContext | None = None, tokens: frozenset[str] = frozenset()) -> None:
        self.hub, self.tokens, self.batches, self.connections, self.port = hub, tokens, 0, 0, 0
        self.on_batch: Callable[[int], str] = lambda _number: "take"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._inner_port = int(probe.getsockname()[1])
        self._tls, self._ready, self._injector = tls, threading.Event(), EventInjector()
        self._container = Container(_Handler(self, self._inner_port, self._ready))
        self._container.selectable(self._injector)
        self._thread = threading.Thread(target=self._container.run, daemon=True)

    @property
    def connection_string(self) -> str:
        """As the emulator's: without TLS."""
        key = f"SharedAccessKeyName={KEY_NAME};SharedAccessKey={KEY}"
        return f"Endpoint=sb://127.0.0.1:{self.port};{key};UseDevelopmentEmulator=true;"

    @contextmanager
    def running(self) -> Iterator[AmqpPeer]:
        self._thread.start()
        assert self._ready.wait(10)
        try:
            with relay_to(self._inner_port, self._tls) as self.port:
                yield self
        finally:
            self._injector.trigger(ApplicationEvent("halt"))
            self._thread.join(10)
            assert not self._thread.is_alive()


class _Handler(ProtonHandler):
    """What happens on the connections; all of it on the container's thread."""

    def __init__(self, peer: AmqpPeer, port: int, ready: threading.Event) -> None:
        self._peer, self._port, self._ready = peer, port, ready
        self._authorised: set[str] = set()
        self._answers: dict[tuple[str, str], Any] = {}
        self._readers: list[tuple[Any, int]] = []
        self._next: dict[str, int] = {}

    def on_reactor_init(self, event: Any) -> None:
        self._container = event.container
        self._acceptor = event.container.listen(f"127.0.0.1:{self._port}")
        self._ready.set()

    def on_halt(self, _event: Any) -> None:
        self._acceptor.close()
        self._container.stop()

    def on_connection_bound(self, event: Any) -> None:
        event.transport.sasl().allowed_mechs("ANONYMOUS")
        self._peer.connections += 1

    def on_connection_remote_open(self, event: Any) -> None:
        event.connection.container = "peer"
        event.connection.open()

    def on_session_remote_open(self, event: Any) -> None:
        event.session.open()

    def on_link_remote_open(self, event: Any) -> None:
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.max_message_size = self._peer.hub.longest_message
        refused = self._refusal(_connection(event), _node(link))
        link.open()
        if refused:
            link.condition = refused
            link.close()
        elif link.is_receiver:
            link.flow(100)
        elif _node(link) in (_CBS, _MANAGEMENT):
            self._answers[_connection(event), _node(link)] = link
        else:
            self._serve(link)

    def on_link_flow(self, _event: Any) -> None:
        self._pump()

    def on_link_remote_close(self, event: Any) -> None:
        self._readers = [(link, partition) for link, partition in self._readers if link != event.link]
        event.link.close()

    def on_session_remote_close(self, event: Any) -> None:
        event.session.close()

    def on_connection_remote_close(self, event: Any) -> None:
        event.connection.close()

    def on_delivery(self, event: Any) -> None:
        delivery, link = event.delivery, event.link
        if link.is_sender:
            if delivery.updated:
                delivery.settle()
            return
        if delivery.partial or not delivery.readable:
            return
        raw, node = bytes(link.recv(delivery.pending)), _node(link)
        link.advance()
        link.flow(1)
        if node in (_CBS, _MANAGEMENT):
            request = Message()
            request.decode(raw)
            answer = self._put_token if node == _CBS else self._read
            self._answer(_connection(event), node, request, *answer(_connection(event), request))
            outcome = "take"
        else:
            outcome = self._keep(int(node.rpartition("/")[2]), raw)
        if outcome in ("drop", "lose"):
            event.transport._selectable._delegate.shutdown(socket.SHUT_RDWR)
            return
        if outcome == "busy":
            delivery.local.condition = _condition("com.microsoft:server-busy", "try again later")
        delivery.update(Delivery.REJECTED if outcome == "busy" else Delivery.ACCEPTED)
        delivery.settle()

    def _refusal(self, connection: str, node: str) -> Condition | None:
        if node not in (_CBS, _MANAGEMENT):
            if connection not in self._authorised:
                return _condition("amqp:unauthorized-access", "no token has been put")
            if node.split("/")[0] != self._peer.hub.name:
                return _condition("amqp:not-found", f"The messaging entity '{node}' could not be found.")
        return None

    def _keep(self, partition: int, raw: bytes) -> str:
        self._peer.batches += 1
        outcome = self._peer.on_batch(self._peer.batches)
        if outcome in ("take", "lose"):
            hub = self._peer.hub
            for message in messages(raw):
                key = (message.annotations or {}).get(KEY_ANNOTATION)
                event = Event(hub.end(partition), key, bytes(message.body), dict(message.properties or {}))
                hub.partitions[partition].append(event)
            self._pump()
        return outcome

    def _serve(self, link: Any) -> None:
        partition = int(_node(link).rpartition("/")[2])
        condition = next(iter(_filters(link)), "")
        operator, number = _FROM.fullmatch(condition).groups()  # type: ignore[union-attr]
        self._next[link.name] = int(number) + (operator == ">")
        self._readers.append((link, partition))
        self._pump()

    def _pump(self) -> None:
        """Send each reader what it has asked for."""
        for link, partition in self._readers:
            hub = self._peer.hub
            while link.credit > 0 and link.state & Endpoint.LOCAL_ACTIVE and self._next[link.name] < hub.end(partition):
                event = hub.partitions[partition][max(0, self._next[link.name] - hub.begins[partition])]
                outgoing(event).send(link)
                self._next[link.name] = event.sequence + 1

    def _put_token(self, connection: str, request: Message) -> tuple[int, str, Any]:
        if not self._is_good(str(request.body), str(request.properties["name"])):
            return 401, "InvalidSignature: The token has an invalid signature.", None
        self._authorised.add(connection)
        return 202, "Accepted", None

    def _is_good(self, token: str, audience: str) -> bool:
        if not token.startswith("SharedAccessSignature "):
            return token in self._peer.tokens
        told = {name: texts[0] for name, texts in parse_qs(token.removeprefix("SharedAccessSignature ")).items()}
        signed = f"{quote(told['sr'], safe='')}\n{told['se']}".encode()
        wanted = b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
        return (told["skn"], told["sig"], told["sr"]) == (KEY_NAME, wanted, audience) and int(told["se"]) > time.time()

    def _read(self, connection: str, request: Message) -> tuple[int, str, Any]:
        hub, asked = self._peer.hub, request.properties
        if connection not in self._authorised or asked["operation"] != "READ":
            return 401, "Unauthorized", None
        if asked["name"] != hub.name:
            return 404, f"The messaging entity '{asked['name']}' could not be found.", None
        if asked["type"] == "com.microsoft:eventhub":
            return 200, "OK", facts_of_hub(hub)
        return 200, "OK", facts_of_partition(hub, int(asked["partition"]))

    def _answer(self, connection: str, node: str, request: Message, status: int, told: str, body: Any) -> None:
        properties = {"status-code": status, "status-description": told}
        Message(correlation_id=request.id, properties=properties, body=body).send(self._answers[connection, node])


def _filters(link: Any) -> Iterator[str]:
    data = link.remote_source.filter
    data.rewind()
    if data.next():
        for described in (data.get_object() or {}).values():
            yield str(described.value)


def _condition(name: str, description: str) -> Condition:
    """With some information: the client counts on its being there."""
    return Condition(name, description, {symbol("peer"): "of the tests"})


def _node(link: Any) -> str:
    """The node of a link: clients of Event Hubs name it as an address, or bare."""
    address = link.remote_target.address if link.is_receiver else link.remote_source.address
    return re.sub(r"^amqps?://[^/]*/", "", address or "")


def _connection(event: Any) -> str:
    return str(event.connection.remote_container) + str(id(event.transport._selectable))
