"""Azure Event Hubs, as it is set, and what follows from one connection string. Meanings stand in conf/base.toml."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from serverload.contracts.errors import SettingsError
from serverload.contracts.kafka_settings import CONNECTION_STRING_USER, KafkaSettings
from serverload.contracts.setting_places import place_of
from serverload.contracts.setting_types import Section

_KAFKA_PORT, _EMULATOR_KAFKA_PORT = 9093, 9092
_KEYS = ("sharedaccesskeyname", "sharedaccesskey")


class EventHubsSettings(Section):
    """How Event Hubs is reached: the Kafka endpoint by the stream, AMQP by `replay`."""

    connection_string: SecretStr
    namespace: str
    transport: Literal["amqp", "websockets"]
    consumer_group: str = Field(min_length=1)

    @property
    def given(self) -> bool:
        """Whether there is a way in."""
        return bool(self.connection_string.get_secret_value() or self.namespace)


@dataclass(frozen=True)
class ConnectionString:
    """What a connection string tells; `hub` is empty where it is of a whole namespace."""

    text: str = field(repr=False)
    host: str
    hub: str
    emulator: bool

    @property
    def kafka_bootstrap(self) -> str:
        """The address of the Kafka endpoint."""
        return f"{self.host}:{_EMULATOR_KAFKA_PORT if self.emulator else _KAFKA_PORT}"


def connection_string(text: str) -> ConnectionString:
    """Read a connection string of a namespace or an event hub. Raises ValueError, which never quotes it."""
    parts = (part.partition("=") for part in text.strip().split(";") if part.strip())
    told = {name.strip().lower(): entry.strip() for name, _, entry in parts}
    place = urlsplit(told.get("endpoint", ""))
    if place.scheme != "sb" or not place.hostname:
        raise ValueError("has no Endpoint=sb://HOST/")
    if not told.get("sharedaccesssignature") and not all(told.get(key) for key in _KEYS):
        raise ValueError("has neither SharedAccessKeyName and SharedAccessKey nor SharedAccessSignature")
    emulator = told.get("usedevelopmentemulator", "").lower() == "true"
    return ConnectionString(text.strip(), place.hostname, told.get("entitypath", ""), emulator)


def kafka_endpoint(
    eventhubs: EventHubsSettings, kafka: KafkaSettings, bootstrap: str, topic: str, profile: str
) -> tuple[KafkaSettings, str]:
    """Login and address of the Kafka endpoint, where they follow from the connection string; else as they are.

    A login that is set in [kafka] stays, as does an address in [stream] bootstrap. Raises SettingsError.
    """
    place = place_of(profile, ["eventhubs", "connection_string"])
    text = eventhubs.connection_string.get_secret_value()
    if not text:
        return kafka, bootstrap
    if eventhubs.namespace:
        hint = "leave one of them empty"
        raise SettingsError("namespace and connection_string exclude each other", where=place, hint=hint)
    try:
        told = connection_string(text)
    except ValueError as error:
        hint = "copy it whole, without quotes: Endpoint=sb://...;SharedAccessKeyName=...;SharedAccessKey=..."
        raise SettingsError(str(error), where=place, hint=hint) from error
    if told.hub and told.hub != topic:
        hint = f"set [stream] topic to {told.hub!r}, or take a connection string of the namespace"
        raise SettingsError(f"is of event hub {told.hub!r}, but [stream] topic is {topic!r}", where=place, hint=hint)
    if kafka.security_protocol != "PLAINTEXT":
        return kafka, bootstrap
    login = {
        "security_protocol": "SASL_PLAINTEXT" if told.emulator else "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "username": CONNECTION_STRING_USER,
        "password": SecretStr(told.text),
    }
    return kafka.model_copy(update=login), bootstrap or told.kafka_bootstrap
