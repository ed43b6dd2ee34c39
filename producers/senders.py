"""Where messages go: one Sender protocol, and Kafka by kafka-python or, faster, by confluent-kafka."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from producers.topics import (
    ANSWER_MS,
    MAX_MESSAGE_BYTES,
    SOURCE_HEADER,
    UNREACHED_HINT,
    Destination,
    broker_error,
    broker_errors,
    destination_of,
    end_offsets,
    sequences_since,
)
from serverload.contracts.errors import BrokerError, PlatformError
from serverload.store.kafka_access import refusal

DELIVERY_SECONDS = 60
_FATAL_SECONDS, _POLL_SECONDS = 5.0, 0.25

_KAFKA_PYTHON = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 20,
    "batch_size": 1 << 17,
    "max_request_size": MAX_MESSAGE_BYTES,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
    "bootstrap_timeout_ms": ANSWER_MS,
    "reconnect_backoff_max_ms": 1000,  # the default, 30 s, sleeps through the return of a broker
}
_LIBRDKAFKA = {
    "enable.idempotence": True,
    "linger.ms": 20,
    "batch.size": 1_000_000,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "queue.buffering.max.kbytes": 64 << 10,
    "allow.auto.create.topics": False,
}


class Sender(Protocol):
    """Takes messages in order and tells what has arrived; a failed message is an error, never a gap."""

    @property
    def destination(self) -> Destination:
        """Which topic this is, as the broker knows it."""

    def send(self, partition: int, key: bytes | None, text: bytes, source: bytes) -> None:
        """Hand over a message with its `serverload-source` header; it may travel until the next flush."""

    def flush(self) -> dict[int, int]:
        """Wait until all that was handed over has arrived; raise BrokerError if any of it failed.

        Returns, per partition, an offset at or after which everything sent from now on will stand.
        """

    def sent_since(self, offsets: Mapping[int, int], run: str) -> set[int]:
        """Read back the sequence numbers that a run has sent to the topic from these offsets on."""

    def close(self) -> None:
        """Let go of the connection; what was not flushed may be lost."""


class KafkaSender:
    """Sends by kafka-python: acks of all replicas, idempotent, so a retry never doubles a message.

    `client` are kafka-python's own options for a login (security_protocol, sasl_mechanism ...).
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        compression: str | None = None,
        client: Mapping[str, Any] | None = None,
        delivery_seconds: float = DELIVERY_SECONDS,
    ) -> None:
        from kafka import KafkaProducer  # here: most commands never send
        from kafka.errors import KafkaError

        self._bootstrap, self._client, self._seconds = bootstrap, dict(client or {}), delivery_seconds
        self._destination = destination_of(bootstrap, topic, self._client)
        self._next_offsets = end_offsets(bootstrap, topic, self._client)
        self._topic, self._kafka_error = topic, KafkaError
        self._travelling: list[tuple[int, Any]] = []
        with broker_errors(bootstrap, topic):
            options = {**_KAFKA_PYTHON, "compression_type": compression, **self._client}
            options |= _kafka_python_times(delivery_seconds)
            self._producer = KafkaProducer(bootstrap_servers=bootstrap, **options)

    @property
    def destination(self) -> Destination:
        """Which topic this is, as the broker knows it."""
        return self._destination

    def send(self, partition: int, key: bytes | None, text: bytes, source: bytes) -> None:
        """Hand over a message; kafka-python buffers without bound, so flush every few megabytes."""
        try:
            future = self._producer.send(self._topic, text, key, [(SOURCE_HEADER, source)], partition)
        except self._kafka_error as error:
            raise broker_error(self._bootstrap, error, self._topic) from error
        self._travelling.append((partition, future))

    def flush(self) -> dict[int, int]:
        """Wait until all has arrived; see Sender."""
        travelling, self._travelling = self._travelling, []
        with broker_errors(self._bootstrap, self._topic):
            self._producer.flush(timeout=self._seconds + 10)
            for partition, future in travelling:
                if not future.succeeded():
                    raise future.exception or TimeoutError("messages without an answer")
                self._next_offsets[partition] = max(self._next_offsets[partition], future.value.offset + 1)
        return dict(self._next_offsets)

    def sent_since(self, offsets: Mapping[int, int], run: str) -> set[int]:
        """Read back what a run has sent; see Sender."""
        return sequences_since(self._bootstrap, self._destination.topic, offsets, run, self._client)

    def close(self) -> None:
        """Let go of the connection; what was not flushed is given up, so that nothing is sent behind our back."""
        if self._travelling:  # kafka-python's close() would wait for them, and leave a thread that goes on trying
            self._producer._sender.force_close()
            self._producer._accumulator.abort_incomplete_batches()
        with suppress(self._kafka_error):
            self._producer.close(timeout=5)


class ConfluentSender:
    """Sends by confluent-kafka (the extra `fast`), with the same promises as KafkaSender.

    `client` are kafka-python's options, used for reading back; `librdkafka` are the same in librdkafka's words.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        compression: str | None = None,
        client: Mapping[str, Any] | None = None,
        librdkafka: Mapping[str, Any] | None = None,
        delivery_seconds: float = DELIVERY_SECONDS,
    ) -> None:
        try:
            from confluent_kafka import KafkaError, KafkaException, Producer
        except ImportError as error:
            raise PlatformError("confluent-kafka is not installed", hint="pip install 'serverload[fast]'") from error
        self._bootstrap, self._client, self._seconds = bootstrap, dict(client or {}), delivery_seconds
        self._destination = destination_of(bootstrap, topic, self._client)
        self._next_offsets = end_offsets(bootstrap, topic, self._client)
        self._failure: str | None = None
        self._thrown_away, self._thrown_away_codes = False, (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
        self._log, self._raised = _Log(), (KafkaException, SystemError)
        times = {"delivery.timeout.ms": int(delivery_seconds * 1000)}
        place: dict[str, Any] = {"bootstrap.servers": bootstrap, "compression.type": compression or "none"}
        self._producer = Producer({**_LIBRDKAFKA, **place, **times, **(librdkafka or {})}, logger=self._log)

    @property
    def destination(self) -> Destination:
        """Which topic this is, as the broker knows it."""
        return self._destination

    def send(self, partition: int, key: bytes | None, text: bytes, source: bytes) -> None:
        """Hand over a message; where the buffer is full, wait for room."""
        while True:
            try:
                self._producer.produce(
                    self._destination.topic,
                    text,
                    key,
                    partition,
                    headers=[(SOURCE_HEADER, source)],
                    on_delivery=self._arrived,
                )
                return
            except BufferError:
                with suppress(*self._raised):  # a fatal error: the next try is refused
                    self._producer.poll(0.1)
            except self._raised as error:
                self._note_fatal(error)
                raise self._broken(self._why()) from error

    def flush(self) -> dict[int, int]:
        """Wait until all has arrived; see Sender."""
        left = 0
        try:
            left = self._producer.flush(self._seconds + 10)
        except self._raised as error:
            self._note_fatal(error)
        what = self._why() or (left and f"{left} messages without an answer")
        if what:
            raise self._broken(what)
        return dict(self._next_offsets)

    def sent_since(self, offsets: Mapping[int, int], run: str) -> set[int]:
        """Read back what a run has sent; see Sender."""
        return sequences_since(self._bootstrap, self._destination.topic, offsets, run, self._client)

    def close(self) -> None:
        """Drop what was not flushed."""
        with suppress(*self._raised):  # a fatal error that was told already
            self._producer.purge()
            self._producer.flush(1)

    def _broken(self, what: str) -> BrokerError:
        refused = refusal(self._bootstrap, what, self._destination.topic)
        return refused or BrokerError(what, where=f"broker at {self._bootstrap}", hint=UNREACHED_HINT)

    def _note_fatal(self, error: Exception) -> None:
        self._failure, self._thrown_away = self._failure or str(error), True

    def _why(self) -> str:
        """What failed, if anything did; a fatal error may be told after the messages that it broke: wait for it."""
        waits = iter(range(int(_FATAL_SECONDS / _POLL_SECONDS)))
        while self._thrown_away and not self._log.fatal_error and next(waits, None) is not None:
            with suppress(*self._raised):
                self._producer.poll(_POLL_SECONDS)
        return self._log.fatal_error or self._failure or ""

    def _arrived(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failure = self._failure or f"does not take messages: {error.str()}"
            self._thrown_away = self._thrown_away or error.code() in self._thrown_away_codes
        else:
            partition = message.partition()
            self._next_offsets[partition] = max(self._next_offsets[partition], message.offset() + 1)


def _kafka_python_times(delivery_seconds: float) -> dict[str, int]:
    return {
        "delivery_timeout_ms": int(delivery_seconds * 1000),
        "request_timeout_ms": int(min(30, delivery_seconds / 2) * 1000),
    }


class _Log:
    """What librdkafka says, handed on to the logger `confluent_kafka`; its fatal error is kept.

    Only its line in the log is certain: `flush` raises it too, but a callback that runs after it wipes the words out.
    """

    def __init__(self) -> None:
        self.fatal_error: str | None = None
        self._logger = logging.getLogger("confluent_kafka")
        self._logger.addHandler(logging.NullHandler())  # keeps chatter off stderr unless logging is set up

    def log(self, level: int, form: str, facility: str, *said: str) -> None:
        """Take one line, in the words of logging.Logger.log."""
        if facility == "FATAL":
            self.fatal_error = self.fatal_error or said[-1]
        self._logger.log(level, form, facility, *said)
