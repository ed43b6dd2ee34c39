"""The sender of `replay`: Kafka, or an event hub by AMQP, as the settings and flags say."""

from typing import TYPE_CHECKING, Any

from serverload.cli.topic import bootstrap_of
from serverload.contracts.errors import InputError, PlatformError, SettingsError

if TYPE_CHECKING:
    from producers.event_hub import HubLogin
    from producers.senders import Sender
    from serverload.contracts.settings import Settings

DESTINATIONS = ("kafka", "eventhubs")


def opened_sender(settings: "Settings", to: str, *, fast: bool, partitions: int) -> "Sender":
    """Open the sender to `to`, or, where that is empty, to Event Hubs if it is set, else to Kafka.

    A Kafka topic is made if it is not there; an event hub has to be. Raises InputError, SettingsError, BrokerError.
    """
    if to not in ("", *DESTINATIONS):
        raise InputError(f"{to!r} is none of {', '.join(DESTINATIONS)}", where="--to")
    if to == "eventhubs" or (not to and settings.eventhubs.given):
        if fast:
            raise InputError("--fast is of Kafka alone", where="replay", hint="add --to kafka, or leave it out")
        return _event_hub_sender(settings)
    return _kafka_sender(settings, fast, partitions)


def _kafka_sender(settings: "Settings", fast: bool, partitions: int) -> "Sender":
    from producers.senders import ConfluentSender, KafkaSender
    from producers.topics import ensure_topic
    from serverload.store.kafka_login import client_options, librdkafka_options

    bootstrap, topic, client = bootstrap_of(settings), settings.stream.topic, client_options(settings.kafka)
    ensure_topic(bootstrap, topic, partitions, client=client)
    if fast:
        return ConfluentSender(bootstrap, topic, client=client, librdkafka=librdkafka_options(settings.kafka))
    return KafkaSender(bootstrap, topic, client=client)


def _event_hub_sender(settings: "Settings") -> "Sender":
    from producers.event_hub import EventHub
    from producers.event_hub_sender import EventHubSender

    hub = EventHub(settings.stream.topic, _hub_login(settings), consumer_group=settings.eventhubs.consumer_group)
    return EventHubSender(hub)


def _hub_login(settings: "Settings") -> "HubLogin":
    from azure.eventhub import TransportType

    from producers.event_hub import HubLogin

    eventhubs = settings.eventhubs
    websockets = eventhubs.transport == "websockets"
    options = {"transport_type": TransportType.AmqpOverWebsocket} if websockets else {}
    if text := eventhubs.connection_string.get_secret_value():
        return HubLogin(connection_string=text.strip(), options=options)
    if not eventhubs.namespace:
        hint = "set SERVERLOAD_EVENTHUBS__CONNECTION_STRING or a secret file, or [eventhubs] namespace"
        raise SettingsError("Event Hubs needs a connection string", where="--to eventhubs", hint=hint)
    return HubLogin(namespace=eventhubs.namespace, credential=_entra_credential(), options=options)


def _entra_credential() -> Any:
    """What Entra ID offers on this machine: environment, workload or managed identity, Azure's command line."""
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise PlatformError("azure-identity is not installed", hint="pip install 'serverload[cloud]'") from error
    return DefaultAzureCredential()
