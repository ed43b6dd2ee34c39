"""What an event hub keeps in memory, and its events and facts as AMQP has them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proton import Data, Described, Message, symbol, timestamp

KEY_ANNOTATION = symbol("x-opt-partition-key")
_DATA_SECTION = 0x75


class Event(NamedTuple):
    """A message as the hub keeps it."""

    sequence: int
    key: str | None
    body: bytes
    properties: Mapping[str, Any]


@dataclass
class Hub:
    """One event hub: its partitions, each a list of events, the first of which has the number `begins`."""

    name: str
    partitions: list[list[Event]]
    begins: list[int]
    longest_message: int = 1 << 20
    created_ms: int = field(default_factory=lambda: int(time.time() * 1000))

    @classmethod
    def of(cls, name: str, partitions: int, longest_message: int = 1 << 20) -> Hub:
        return cls(name, [[] for _ in range(partitions)], [0] * partitions, longest_message)

    def end(self, partition: int) -> int:
        return self.begins[partition] + len(self.partitions[partition])

    def forget_before(self, partition: int, sequence: int) -> None:
        """Do as retention does."""
        del self.partitions[partition][: sequence - self.begins[partition]]
        self.begins[partition] = sequence

    def events(self) -> list[Event]:
        return [event for partition in self.partitions for event in partition]


def facts_of_hub(hub: Hub) -> dict[str, Any]:
    numbers = [str(number) for number in range(len(hub.partitions))]
    return {
        "name": hub.name,
        "type": "com.microsoft:eventhub",
        "created_at": timestamp(hub.created_ms),
        "partition_count": len(numbers),
        "partition_ids": numbers,
    }


def facts_of_partition(hub: Hub, partition: int) -> dict[str, Any]:
    last = hub.end(partition) - 1
    return {
        "name": hub.name,
        "type": "com.microsoft:partition",
        "partition": str(partition),
        "begin_sequence_number": hub.begins[partition],
        "last_enqueued_sequence_number": last,
        "last_enqueued_offset": str(last * 100),
        "last_enqueued_time_utc": timestamp(int(time.time() * 1000)),
        "is_partition_empty": not hub.partitions[partition],
    }


def messages(raw: bytes) -> Iterator[Message]:
    """The messages of a batch: each data section of its body holds one."""
    while raw:
        section = Data()
        raw = raw[section.decode(raw) :]
        section.rewind()
        section.next()
        found = section.get_object()
        if isinstance(found, Described) and found.descriptor == _DATA_SECTION:
            message = Message()
            message.decode(bytes(found.value))
            yield message


def outgoing(event: Event) -> Message:
    annotations = {
        symbol("x-opt-sequence-number"): event.sequence,
        symbol("x-opt-offset"): str(event.sequence * 100),
        symbol("x-opt-enqueued-time"): timestamp(int(time.time() * 1000)),
    }
    if event.key is not None:
        annotations[KEY_ANNOTATION] = event.key
    return Message(body=event.body, inferred=True, annotations=annotations, properties=dict(event.properties))
