"""An event hub as the replay needs it, by AMQP: which one it is, where it ends, reading back what was sent."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from producers.topics import SETTLE_ROUNDS, SETTLE_SECONDS, SOURCE_HEADER, STALLED_SECONDS, Destination
from serverload.contracts.errors import BrokerError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
    from azure.eventhub._producer import EventHubProducer

_LOGIN_HINT = "check SERVERLOAD_EVENTHUBS__CONNECTION_STRING: it needs the rights Send and Listen; see docs/runbook.md"
_UNREACHED_HINT = "check the connection string's Endpoint, and [eventhubs] transport where a firewall is in the way"
_MOST_AT_ONCE = 8
_EVENTS_AT_ONCE = 3000
_WAIT_SECONDS = 0.5

# else Python prints what it logs of each lost connection; whoever sets up logging still sees it
logging.getLogger("azure").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class HubLogin:
    """A connection string, or a namespace with an Entra credential; `options` go to azure-eventhub's clients."""

    connection_string: str = field(default="", repr=False)
    namespace: str = ""
    credential: "TokenCredential | None" = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Where it logs in to."""
        parts = (part.partition("=") for part in self.connection_string.split(";"))
        endpoint = next((entry for name, _, entry in parts if name.strip().lower() == "endpoint"), "")
        return self.namespace or urlsplit(endpoint).netloc


class EventHub:
    """One event hub. Nothing is tried again in here: whoever asks knows what a second try would do."""

    def __init__(self, name: str, login: HubLogin, *, consumer_group: str = "$Default") -> None:
        self.name, self._login, self._group = name, login, consumer_group
        self._once = {**login.options, "retry_total": 0, "retry_backoff_factor": 0}

    @property
    def place(self) -> str:
        """Where errors say that they come from."""
        return f"event hub {self.name} at {self._login.host}"

    def producer(self) -> "EventHubProducerClient":
        """A client to send with."""
        from azure.eventhub import EventHubProducerClient  # here, as below: most commands never send

        login, once = self._login, self._once
        if login.connection_string:
            return EventHubProducerClient.from_connection_string(
                login.connection_string, eventhub_name=self.name, **once
            )
        return EventHubProducerClient(login.namespace, self.name, _credential(login), **once)

    def producer_of(self, partition: str) -> "EventHubProducer":
        """What sends to one partition, each batch once.

        The client's own `send_batch` sends a batch a second time where the connection broke, whatever its retry
        settings are; what it sends by (of the pinned version) does not.
        """
        return self.producer()._create_producer(partition)

    def reader(self) -> "EventHubConsumerClient":
        """A client to read with."""
        from azure.eventhub import EventHubConsumerClient

        login, once = self._login, self._once
        if login.connection_string:
            return EventHubConsumerClient.from_connection_string(
                login.connection_string, self._group, eventhub_name=self.name, **once
            )
        return EventHubConsumerClient(login.namespace, self.name, self._group, _credential(login), **once)

    def destination(self) -> tuple[Destination, tuple[str, ...]]:
        """Which hub this is (one that was deleted and made anew was created later), and its partitions' ids."""
        with self.errors(), closing(self.reader()) as client:
            found = client.get_eventhub_properties()
        ids = tuple(sorted(found["partition_ids"], key=lambda name: (len(name), name)))
        return Destination(self.name, found["created_at"].isoformat(), self._login.host, len(ids)), ids

    def bounds(self, partitions: Sequence[str]) -> list[tuple[int, int]]:
        """Of each partition the first sequence number that is still there, and the one after the newest."""
        with self.errors(), closing(self.reader()) as client, ThreadPoolExecutor(_MOST_AT_ONCE) as threads:
            found = list(threads.map(client.get_partition_properties, partitions))
        return [(each["beginning_sequence_number"], each["last_enqueued_sequence_number"] + 1) for each in found]

    def sequences_since(self, starts: Mapping[str, int], run: str) -> set[int]:
        """Read partitions from these sequence numbers to their ends: the numbers that a run's messages carry.

        First waits until the ends stand still (bounded): a killed sender's last batch may still be on its way.
        Raises BrokerError where retention has deleted from there on, or a partition ends before: then none can tell.
        """
        names = list(starts)
        bounds = dict(zip(names, self._settled(names), strict=True))
        for name, (begin, end) in bounds.items():
            if not min(begin, end) <= starts[name] <= end:
                what = f"partition {name} no longer holds what was sent last (sequence number {starts[name]} on)"
                raise BrokerError(what, where=self.place, hint="use --again to send everything anew")
        unread = [(name, starts[name], end) for name, (_, end) in bounds.items() if starts[name] < end]
        with self.errors(), ThreadPoolExecutor(_MOST_AT_ONCE) as threads:
            found = threads.map(lambda part: self._sequences(part, run), unread)
            return set().union(*found)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what azure-eventhub raises into a BrokerError of one line."""
        from azure.core.exceptions import ClientAuthenticationError
        from azure.eventhub.exceptions import EventHubError

        try:
            yield
        except (EventHubError, ClientAuthenticationError, OSError) as error:
            raise self.error(error) from error

    def error(self, error: Exception) -> BrokerError:
        """The BrokerError for what azure-eventhub or the network raised, which is never quoted: it may be long."""
        if is_refused(error):
            return BrokerError(
                "refuses this login, or gives it no right to do this", where=self.place, hint=_LOGIN_HINT
            )
        if _condition(error) == "not-found":
            return BrokerError("there is none of this name", where=self.place, hint="create it or check [stream] topic")
        told = f" ({_condition(error)})" if _condition(error) else ""
        return BrokerError(f"does not answer{told}", where=self.place, hint=_UNREACHED_HINT)

    def _settled(self, names: Sequence[str]) -> list[tuple[int, int]]:
        bounds = self.bounds(names)
        for _ in range(SETTLE_ROUNDS):
            time.sleep(SETTLE_SECONDS)
            before, bounds = bounds, self.bounds(names)
            if before == bounds:
                break
        return bounds

    def _sequences(self, part: tuple[str, int, int], run: str) -> set[int]:
        """As `sequences_since`, of one partition from a start up to its end, perhaps some after it."""
        (partition, start, end), client = part, self.reader()
        reading = _Reading(client, f"{run}:".encode(), end)
        with closing(client):
            client.receive_batch(
                reading.take,
                on_error=reading.fail,
                partition_id=partition,
                starting_position=start,
                starting_position_inclusive=True,
                max_wait_time=_WAIT_SECONDS,
                max_batch_size=_EVENTS_AT_ONCE,
                prefetch=_EVENTS_AT_ONCE,
            )
        if reading.failure:
            raise reading.failure
        return reading.found


class _Reading:
    """What a receiver calls back; it ends the receiver when the end is reached, or nothing comes any more."""

    def __init__(self, client: "EventHubConsumerClient", prefix: bytes, end: int) -> None:
        self._client, self._prefix, self._end = client, prefix, end
        self._heard = time.monotonic()
        self.found: set[int] = set()
        self.failure: Exception | None = None

    def take(self, _partition: Any, events: "Sequence[EventData]") -> None:
        for event in events:
            source = (event.properties or {}).get(SOURCE_HEADER.encode(), b"")
            if isinstance(source, bytes) and source.startswith(self._prefix):
                self.found.add(int(source[len(self._prefix) :]))
        if events:
            self._heard = time.monotonic()
            if (events[-1].sequence_number or 0) >= self._end - 1:
                self._client.close()
        elif time.monotonic() - self._heard > STALLED_SECONDS:
            self.fail(_partition, TimeoutError("the end of the partition cannot be read"))

    def fail(self, _partition: Any, error: Exception) -> None:
        self.failure = self.failure or error
        self._client.close()


def is_refused(error: Exception) -> bool:
    """Tell whether a login was refused, or lacks a right."""
    from azure.core.exceptions import ClientAuthenticationError
    from azure.eventhub.exceptions import AuthenticationError

    denied = isinstance(error, AuthenticationError | ClientAuthenticationError)
    return denied or _condition(error) == "unauthorized-access"


def is_passing(error: Exception) -> bool:
    """Tell whether it may go well the next time."""
    return _condition(error) not in ("not-found", "link:message-size-exceeded", "not-allowed")


def _condition(error: Exception) -> str:
    """The AMQP condition without its namespace, such as `not-found`; empty where the peer has told none."""
    told = getattr(error, "error", None)
    return told if isinstance(told, str) else ""


def _credential(login: HubLogin) -> "TokenCredential":
    if login.credential is None:
        raise BrokerError("neither a connection string nor a credential", where=login.namespace, hint=_LOGIN_HINT)
    return login.credential
