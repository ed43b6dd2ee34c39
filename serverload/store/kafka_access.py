"""Why a broker does not let a client in, in one line, whichever client and whichever language tells it."""

import logging
import re
from collections.abc import Mapping
from typing import Any

from serverload.contracts.errors import BrokerError

_KNOCK_MS = 10_000
_USER_HINT = (
    "check [kafka] username, sasl_mechanism and SERVERLOAD_KAFKA__PASSWORD "
    "(of Event Hubs: SERVERLOAD_EVENTHUBS__CONNECTION_STRING)"
)
_RIGHTS_HINT = "stream needs Read on the topic, replay Write, and a topic that is not there Create; see docs/runbook.md"
_REFUSALS = (
    (r"sasl.?authentication|unsupported.?sasl", "refuses this user, its password or its mechanism", _USER_HINT),
    (
        r"certificate.?verify.?failed|PKIX path|No (name|subject alternative \w+) match",
        "shows a certificate that is not trusted",
        "set [kafka] ca_file to its authority, and [stream] bootstrap to a name in the certificate",
    ),
    (
        r"alert.(bad.)?certificate|bad_certificate|certificate_required|alert.unknown.ca",
        "wants a client certificate that it trusts",
        "set [kafka] certificate_file and key_file",
    ),
    (
        r"handshake.?failed|ssl.?authentication|ssl.?handshake",
        "the TLS handshake fails",
        "check the port and [kafka] security_protocol, ca_file, certificate_file",
    ),
    (r"(topic|cluster|group).?authorization|not authorized to access", "gives this login no right to{}", _RIGHTS_HINT),
)

# else Python prints what kafka-python logs at each of its tries; whoever sets up logging still sees it
logging.getLogger("kafka").addHandler(logging.NullHandler())


def refusal(bootstrap: str, told: str, topic: str = "") -> BrokerError | None:
    """The error for what a client tells of a login or right that was refused; None if it tells of something else.

    What a client tells may be long and is never quoted.
    """
    for pattern, what, hint in _REFUSALS:
        if re.search(pattern, told, re.IGNORECASE):
            wish = f" do this with topic {topic!r}" if topic else " do this"
            return BrokerError(what.format(wish), where=f"broker at {bootstrap}", hint=hint)
    return None


def require_login(bootstrap: str, client: Mapping[str, Any]) -> None:
    """Connect and log in once, so that a refusal is told at once: kafka-python itself tries again until it times out.

    `client` are kafka-python's options; without a login among them, and where nothing answers, nothing is told.
    Raises BrokerError if one of the addresses refuses and none accepts.
    """
    if client.get("security_protocol", "PLAINTEXT") == "PLAINTEXT":
        return
    from kafka.net.manager import KafkaConnectionManager
    from kafka.net.selector import NetworkSelector

    net = NetworkSelector()
    manager = KafkaConnectionManager(net, **{**client, "bootstrap_servers": bootstrap})
    try:
        answers = [net.run(_answer, manager, node.node_id) for node in manager.cluster.bootstrap_brokers()]
    finally:
        manager.close()
        net.close()
    refusals = [refused for answer in answers if (refused := refusal(bootstrap, answer)) is not None]
    if refusals and "" not in answers:
        raise refusals[0]


async def _answer(manager: Any, node: str) -> str:
    """What one address says to our login; empty if it lets us in."""
    from kafka.errors import KafkaError

    connection = manager.get_connection(node, timeout_ms=_KNOCK_MS, pop_on_close=False, refresh_metadata_on_err=False)
    try:
        await connection
    except (KafkaError, OSError) as error:
        # a broker closes the connection upon a wrong password, mostly before kafka-python has read why
        in_login = connection.sasl_enabled and connection.broker_version_data is not None
        return "SASL authentication" if in_login else f"{type(error).__name__}: {error}"
    return ""
