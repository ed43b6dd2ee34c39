"""The login to a Kafka broker, as it is set, and what cannot work together. Meanings stand in conf/base.toml."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from serverload.contracts.setting_types import Section

CONNECTION_STRING_USER = "$ConnectionString"
"""User by which the Kafka endpoint of Event Hubs knows that the password is a connection string."""

_OF_SASL = ("sasl_mechanism", "username")
_FILES = ("ca_file", "certificate_file", "key_file")


class KafkaSettings(Section):
    """How clients log in to the broker."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    username: str
    password: SecretStr
    ca_file: str
    certificate_file: str
    key_file: str
    key_password: SecretStr

    @property
    def by_user(self) -> bool:
        """Whether a user logs in."""
        return self.security_protocol.startswith("SASL_")

    @property
    def by_tls(self) -> bool:
        """Whether the connection is encrypted and certificates are checked."""
        return self.security_protocol.endswith("SSL")

    @property
    def of_event_hubs(self) -> bool:
        """Whether this is the login of Event Hubs."""
        return self.by_user and self.username == CONNECTION_STRING_USER


def login_fault(kafka: KafkaSettings) -> tuple[str, str] | None:
    """The first key that cannot work beside the others, and why; None where the login is complete.

    Secrets without use are no fault: they may lie there for another profile.
    """
    protocol = kafka.security_protocol
    needed = (*_OF_SASL, "password") if kafka.by_user else ()
    useless = (*(() if kafka.by_user else _OF_SASL), *(() if kafka.by_tls else _FILES))
    for key in needed:
        if not _given(kafka, key):
            return key, f"is needed with security_protocol {protocol}"
    for key in useless:
        if _given(kafka, key):
            return key, f"has no use with security_protocol {protocol}"
    for key in _FILES:
        if _given(kafka, key) and not Path(getattr(kafka, key)).is_file():
            return key, f"no file {getattr(kafka, key)}"
    if bool(kafka.certificate_file) != bool(kafka.key_file):
        return (
            ("key_file", "is needed with certificate_file")
            if kafka.certificate_file
            else ("certificate_file", "is needed with key_file")
        )
    return None


def _given(kafka: KafkaSettings, key: str) -> bool:
    entry = getattr(kafka, key)
    return bool(entry.get_secret_value() if isinstance(entry, SecretStr) else entry)
