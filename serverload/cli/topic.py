"""The broker and topic that a command works with, as the settings and the home say."""

from typing import TYPE_CHECKING

from serverload.contracts.errors import BrokerError

if TYPE_CHECKING:
    from serverload.contracts.settings import Settings


def bootstrap_of(settings: "Settings") -> str:
    """As `bootstrap_if_any`. Raises BrokerError where there is none."""
    found = bootstrap_if_any(settings)
    if not found:
        raise BrokerError(
            "no broker is running", where=settings.home, hint="run `serverload broker start` or set [stream] bootstrap"
        )
    return found


def bootstrap_if_any(settings: "Settings") -> str | None:
    """The broker's address: the setting, else the embedded broker of the home; None without either."""
    from serverload.store.broker import bootstrap_for

    return settings.stream.bootstrap or bootstrap_for(settings.home)


def require_topic(bootstrap: str, settings: "Settings") -> None:
    """Make the topic if it is not there: a stream may start before its producer."""
    from producers.topics import ensure_topic
    from serverload.store.kafka_login import client_options

    ensure_topic(bootstrap, settings.stream.topic, 4, client=client_options(settings.kafka))
