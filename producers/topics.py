"""Topics as the replay needs them: making one, telling which one it is, reading back what was sent."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from serverload.contracts.errors import BrokerError
from serverload.store.kafka_access import refusal, require_login

SOURCE_HEADER = "serverload-source"
"""Header of each replayed message: `<run>:<sequence number>`."""

UNREACHED_HINT = "start it with `serverload broker start` or check [stream] bootstrap and [kafka] security_protocol"
MAX_MESSAGE_BYTES = 16 << 20
ANSWER_MS = 10_000
SETTLE_SECONDS = 0.5
SETTLE_ROUNDS = 20
STALLED_SECONDS = 30.0


@dataclass(frozen=True)
class Destination:
    """A topic as its broker knows it: a topic that was deleted and made anew has another id."""

    topic: str
    topic_id: str
    cluster_id: str
    partitions: int


@contextmanager
def broker_errors(bootstrap: str, topic: str = "") -> Iterator[None]:
    """Turn what kafka-python raises into a BrokerError of one line."""
    from kafka.errors import KafkaError

    try:
        yield
    except (KafkaError, OSError) as error:
        raise broker_error(bootstrap, error, topic) from error


def broker_error(bootstrap: str, error: BaseException, topic: str = "") -> BrokerError:
    """The BrokerError that tells what kafka-python or the network raised."""
    from kafka.errors import KafkaConnectionError, KafkaTimeoutError

    if refused := refusal(bootstrap, f"{type(error).__name__}: {error}", topic):
        return refused
    if isinstance(error, KafkaTimeoutError | KafkaConnectionError | OSError):
        return BrokerError("does not answer", where=f"broker at {bootstrap}", hint=UNREACHED_HINT)
    return BrokerError(str(error), where=f"broker at {bootstrap}")


def ensure_topic(
    bootstrap: str,
    topic: str,
    partitions: int,
    *,
    replication: int = -1,
    settings: Mapping[str, str] | None = None,
    client: Mapping[str, Any] | None = None,
) -> Destination:
    """Make the topic if it is not there, with the broker's own timestamps, and tell what it is.

    The broker's time (LogAppendTime) matters: by the events' own, retention would delete what is years old.
    A topic that is there is left as it is. `settings` are added to the new topic's; replication -1 is the broker's.
    """
    configs = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    wanted = {
        "num_partitions": partitions,
        "replication_factor": replication,
        "configs": {**configs, **(settings or {})},
    }
    from kafka.errors import TopicAlreadyExistsError

    with broker_errors(bootstrap, topic), _admin(bootstrap, client or {}) as admin:
        if topic not in admin.list_topics():
            try:
                admin.create_topics({topic: wanted}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                admin.wait_for_topics([topic])
    return destination_of(bootstrap, topic, client)


def destination_of(bootstrap: str, topic: str, client: Mapping[str, Any] | None = None) -> Destination:
    """Ask the broker which topic this is. Raises BrokerError if there is none."""
    with broker_errors(bootstrap, topic), _admin(bootstrap, client or {}) as admin:
        cluster_id = admin.describe_cluster().get("cluster_id")
        found = [each for each in admin.describe_topics([topic]) if not each["error_code"] and each["partitions"]]
    if not found:
        hint = "create it or check [stream] topic"
        raise BrokerError(f"no topic {topic!r}", where=f"broker at {bootstrap}", hint=hint)
    return Destination(topic, str(found[0].get("topic_id")), str(cluster_id), len(found[0]["partitions"]))


@lru_cache(maxsize=65_536)
def _key_hash(key: bytes) -> int:
    from kafka.partitioner.default import murmur2

    return int(murmur2(key)) & 0x7FFFFFFF


def partition_of(key: bytes | None, sequence: int, partitions: int) -> int:
    """Choose a message's partition as Kafka's own clients do by key; without one, in turn by sequence number."""
    return (sequence if key is None else _key_hash(key)) % partitions


def end_offsets(bootstrap: str, topic: str, client: Mapping[str, Any] | None = None) -> dict[int, int]:
    """The offset after the newest message of each partition."""
    with broker_errors(bootstrap, topic), _consumer(bootstrap, client or {}) as consumer:
        return _by_number(consumer.end_offsets(_partitions(consumer, topic)))


def sequences_since(
    bootstrap: str, topic: str, offsets: Mapping[int, int], run: str, client: Mapping[str, Any] | None = None
) -> set[int]:
    """Read the topic from these offsets to its end and return the sequence numbers of a run's messages.

    First waits until the end stands still (bounded): a killed sender's last request may still be on its way.
    Raises BrokerError where retention has deleted from there on, or the topic ends before: then none can tell.
    """
    with broker_errors(bootstrap, topic), _consumer(bootstrap, client or {}) as consumer:
        partitions = _partitions(consumer, topic)
        ends, begins = _settled_ends(consumer, partitions), _by_number(consumer.beginning_offsets(partitions))
        starts = {number: offsets.get(number, 0) for number in ends}
        for number, start in starts.items():
            if not begins[number] <= start <= ends[number]:
                what = f"partition {number} no longer holds what was sent last (offset {start} on)"
                raise BrokerError(what, where=f"topic {topic}", hint="use --again to send everything anew")
        prefix = f"{run}:".encode()
        return {
            int(content[len(prefix) :])
            for record in _records(consumer, topic, starts, ends)
            for name, content in record.headers
            if name == SOURCE_HEADER and content.startswith(prefix)
        }


def _records(consumer: Any, topic: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Any]:
    """The records of each partition from its start up to its end, perhaps some after it."""
    from kafka import TopicPartition

    left = {TopicPartition(topic, number): end for number, end in ends.items() if starts[number] < end}
    consumer.assign(list(left))
    for partition in left:
        consumer.seek(partition, starts[partition.partition])
    heard = time.monotonic()
    while left:
        for records in consumer.poll(timeout_ms=500, max_records=5000).values():
            heard = time.monotonic()
            yield from records
        left = {partition: end for partition, end in left.items() if consumer.position(partition) < end}
        if time.monotonic() - heard > STALLED_SECONDS:
            raise TimeoutError("the topic's end cannot be read")


def _settled_ends(consumer: Any, partitions: list[Any]) -> dict[int, int]:
    ends = _by_number(consumer.end_offsets(partitions))
    for _ in range(SETTLE_ROUNDS):
        time.sleep(SETTLE_SECONDS)
        before, ends = ends, _by_number(consumer.end_offsets(partitions))
        if before == ends:
            break
    return ends


def _by_number(offsets: Mapping[Any, int]) -> dict[int, int]:
    return {partition.partition: offset for partition, offset in offsets.items()}


def _partitions(consumer: Any, topic: str) -> list[Any]:
    from kafka import TopicPartition

    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


def _admin(bootstrap: str, client: Mapping[str, Any]) -> closing[Any]:
    from kafka import KafkaAdminClient

    require_login(bootstrap, client)
    return closing(KafkaAdminClient(bootstrap_servers=bootstrap, **{"bootstrap_timeout_ms": ANSWER_MS, **client}))


def _consumer(bootstrap: str, client: Mapping[str, Any]) -> closing[Any]:
    from kafka import KafkaConsumer

    options = {"bootstrap_timeout_ms": ANSWER_MS, "enable_auto_commit": False, "allow_auto_create_topics": False}
    return closing(KafkaConsumer(bootstrap_servers=bootstrap, **{**options, **client}))
