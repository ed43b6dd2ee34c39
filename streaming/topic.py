"""What the broker says of the topic, asked by the Kafka client that Spark reads with, under the same login."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from serverload.contracts.errors import BrokerError
from serverload.store.java_classes import java_class
from serverload.store.kafka_access import refusal

_PREFIX = "kafka."
_JAVA = "org.apache.kafka"
_OFFSETS = ("common.TopicPartition", "clients.admin.OffsetSpec")
_UNKNOWN_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""The id that brokers give which have none for their topics."""


class Topic:
    """A topic on a broker; `options` are those of Spark's source, of which the client's own begin with `kafka.`."""

    def __init__(self, spark: SparkSession, name: str, options: Mapping[str, str]) -> None:
        self.name, self._spark = name, spark
        self._options = {key.removeprefix(_PREFIX): entry for key, entry in options.items() if key.startswith(_PREFIX)}

    def id(self) -> str:
        """The id of the topic, another one after it has been deleted and made anew; empty where brokers have none."""
        with self._admin() as admin:
            found = str(self._described(admin).topicId().toString())
        return "" if found == _UNKNOWN_ID else found

    def earliest_offsets(self) -> dict[str, int]:
        """`topic/partition` to the first offset that has not been deleted."""
        partition_of, offset_spec = (self._java(f"{_JAVA}.{name}") for name in _OFFSETS)
        with self._admin() as admin:
            asked = self._java("java.util.HashMap")()
            for partition in self._described(admin).partitions():
                place = partition_of(self.name, partition.partition())
                asked.put(place, offset_spec.earliest())
            found = admin.listOffsets(asked).all().get()
            return {f"{place.topic()}/{place.partition()}": found[place].offset() for place in found}

    def _java(self, name: str) -> Any:
        return java_class(self._spark, name)

    def _described(self, admin: Any) -> Any:
        names = self._java("java.util.ArrayList")()
        names.add(self.name)
        return admin.describeTopics(names).allTopicNames().get()[self.name]

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        properties = self._java("java.util.HashMap")()
        for key, entry in self._options.items():
            properties.put(key, entry)
        try:
            admin = self._java(f"{_JAVA}.clients.admin.AdminClient").create(properties)
            try:
                yield admin
            finally:
                admin.close()
        except Py4JJavaError as error:
            bootstrap = self._options["bootstrap.servers"]
            cause = error.java_exception.getCause() or error.java_exception
            raise refusal(bootstrap, str(cause), self.name) or BrokerError(
                f"does not answer for topic {self.name}: {cause.getMessage()}",
                where=f"broker at {bootstrap}",
                hint="see `serverload broker status`, or [stream] bootstrap",
            ) from error
