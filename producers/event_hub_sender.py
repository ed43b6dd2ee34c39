"""Messages into an event hub by AMQP, each partition's in batches and in order, none of them doubled by a retry.

Event Hubs knows no idempotent producer over AMQP: when a connection breaks, whether the last batch has been kept is
not known. So azure-eventhub's own retries are off. A batch is kept wholly or not at all: before it is sent a second
time, its partition is read back, and a batch that is there has arrived.
"""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from producers.event_hub import EventHub, is_passing, is_refused
from producers.topics import SOURCE_HEADER, Destination
from serverload.contracts.errors import BrokerError

if TYPE_CHECKING:
    from azure.eventhub import EventData, EventDataBatch
    from azure.eventhub._producer import EventHubProducer

DELIVERY_SECONDS = 60
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_PARTITION_KEY = b"x-opt-partition-key"
_LONGEST_KEY = 128


class EventHubSender:
    """Sends to the partition that the replay chooses by key, as Kafka's clients would; see Sender.

    Event Hubs takes a partition or a key for a batch, not both; a batch of a partition holds many servers. Each
    message carries its key all the same, so that readers see it. Messages cannot be handed over by several threads.
    """

    def __init__(self, hub: EventHub, *, delivery_seconds: float = DELIVERY_SECONDS) -> None:
        self._hub = hub
        self._destination, self._ids = hub.destination()
        ends = [end for _, end in hub.bounds(self._ids)]
        with hub.errors(), hub.producer() as client:
            limit = client.create_batch().max_size_in_bytes
        lanes = zip(self._ids, ends, strict=True)
        self._lanes = [_Lane(hub, name, end, limit, delivery_seconds) for name, end in lanes]

    @property
    def destination(self) -> Destination:
        """Which hub this is, as Event Hubs knows it."""
        return self._destination

    def send(self, partition: int, key: bytes | None, text: bytes, source: bytes) -> None:
        """Hand over a message; what is not sent yet is kept without bound, so flush every few megabytes.

        Raises BrokerError for a message that is longer than the event hub takes.
        """
        self._lanes[partition].add(_event(key, text, source), source)

    def flush(self) -> dict[int, int]:
        """Wait until all has arrived; see Sender."""
        for lane in self._lanes:
            lane.hand_over()
        return {number: lane.settled() for number, lane in enumerate(self._lanes)}

    def sent_since(self, offsets: Mapping[int, int], run: str) -> set[int]:
        """Read back what a run has sent; see Sender."""
        return self._hub.sequences_since({name: offsets.get(number, 0) for number, name in enumerate(self._ids)}, run)

    def close(self) -> None:
        """Let go of the connections; what was not flushed is given up."""
        for lane in self._lanes:
            lane.close()


class _Lane:
    """One partition: a batch that fills, and a thread that delivers the full ones in order."""

    def __init__(self, hub: EventHub, partition: str, end: int, limit: int, seconds: float) -> None:
        self._hub, self._partition, self._limit, self._seconds = hub, partition, limit, seconds
        self._next = end  # everything sent from now on stands here or later: others may send to this partition too
        self._thread = ThreadPoolExecutor(1, f"partition-{partition}")
        self._stop = threading.Event()
        self._travelling: list[Future[None]] = []
        self._filling, self._first_source = self._empty(), b""
        self._producer: EventHubProducer | None = None

    def add(self, event: "EventData", source: bytes) -> None:
        if not self._fits(event):
            self.hand_over()
            if not self._fits(event):
                what = f"message {source.decode()} is too long: it takes {self._limit} bytes, with what goes with it"
                raise BrokerError(what, where=self._hub.place, hint="leave the line out of the file")
        if len(self._filling) == 1:
            self._first_source = source

    def hand_over(self) -> None:
        """Let the thread deliver what there is; after a batch that failed, none is sent any more."""
        if len(self._filling):
            self._travelling.append(self._thread.submit(self._deliver, self._filling, self._first_source))
            self._filling = self._empty()

    def settled(self) -> int:
        """Wait until all has arrived; where everything sent from now on will stand at the earliest."""
        travelling, self._travelling = self._travelling, []
        with self._hub.errors():
            for delivery in travelling:
                delivery.result()
        return self._next

    def close(self) -> None:
        self._stop.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._let_go()

    def _fits(self, event: "EventData") -> bool:
        try:
            self._filling.add(event)
        except ValueError:
            return False
        return True

    def _empty(self) -> "EventDataBatch":
        from azure.eventhub import EventDataBatch

        return EventDataBatch(self._limit, partition_id=self._partition)

    def _deliver(self, batch: "EventDataBatch", first_source: bytes) -> None:
        """Send a batch until it is known to have arrived, once."""
        from azure.eventhub.exceptions import EventHubError

        deadline, pause, tries, refusals = time.monotonic() + self._seconds, _FIRST_PAUSE_SECONDS, 0, 0
        while not self._stop.is_set():
            tries += 1
            try:
                if tries == 1 or not self._is_there(first_source):
                    self._connected().send(batch, timeout=self._seconds)
                self._next += len(batch)
                return
            except (EventHubError, OSError) as error:
                refusals += is_refused(error)  # once, a token may only have grown too old while nothing was sent
                if not is_passing(error) or refusals > 1 or time.monotonic() + pause > deadline:
                    self._stop.set()
                    raise
            self._let_go()
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _is_there(self, source: bytes) -> bool:
        run, _, sequence = source.decode().partition(":")
        return int(sequence) in self._hub.sequences_since({self._partition: self._next}, run)

    def _connected(self) -> "EventHubProducer":
        if self._producer is None:
            self._producer = self._hub.producer_of(self._partition)
        return self._producer

    def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):  # a broken connection may break once more while it is closed
                producer.close()


def _event(key: bytes | None, text: bytes, source: bytes) -> "EventData":
    from azure.eventhub import EventData

    event = EventData(text)
    event.properties = {SOURCE_HEADER: source.decode()}
    annotations = event.raw_amqp_message.annotations
    if key and len(key) <= _LONGEST_KEY and annotations is not None:
        annotations[_PARTITION_KEY] = key.decode(errors="replace")
    return event
