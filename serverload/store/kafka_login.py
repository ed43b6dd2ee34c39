"""The login of [kafka] in the words of each client: Spark's Kafka source, kafka-python, librdkafka.

Spark gets certificates and key as text, because its executors may stand on machines that do not have the files.
"""

import ssl
from pathlib import Path
from typing import Any

from serverload.contracts.errors import SettingsError
from serverload.contracts.kafka_settings import KafkaSettings

_JAAS_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}

_EVENT_HUBS_MS = {"metadata.max.age": 180_000, "connections.max.idle": 180_000, "request.timeout": 60_000}
"""Event Hubs ends what is idle for four minutes, and wants clients to wait for an answer for a minute."""


def spark_options(kafka: KafkaSettings) -> dict[str, str]:
    """Options of Spark's Kafka source. Raises SettingsError for a key that cannot be read."""
    if kafka.security_protocol == "PLAINTEXT":
        return {}
    options: dict[str, str] = {"security.protocol": kafka.security_protocol}
    if kafka.by_user:
        options |= {"sasl.mechanism": kafka.sasl_mechanism, "sasl.jaas.config": _jaas_line(kafka)}
    if kafka.of_event_hubs:
        options |= {f"{name}.ms": str(each) for name, each in _EVENT_HUBS_MS.items()}
        options["default.api.timeout.ms"] = str(_EVENT_HUBS_MS["request.timeout"])  # Kafka allows none below the other
    if kafka.ca_file:
        options |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": _text(kafka.ca_file)}
    if kafka.certificate_file:
        chain = _text(kafka.certificate_file)
        options |= {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": chain}
        options["ssl.keystore.key"] = _key_as_java_reads_it(kafka)
    return {f"kafka.{name}": value for name, value in options.items()}


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options of kafka-python's clients. Raises SettingsError for certificates or a key that cannot be read."""
    options: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if kafka.by_user:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.username
        options["sasl_plain_password"] = kafka.password.get_secret_value()
    if kafka.of_event_hubs:
        options |= {f"{name.replace('.', '_')}_ms": each for name, each in _EVENT_HUBS_MS.items()}
    if kafka.by_tls:
        options["ssl_context"] = _tls(kafka)
    return options


def librdkafka_options(kafka: KafkaSettings) -> dict[str, str]:
    """Options of librdkafka; files are read by itself."""
    options: dict[str, str] = {"security.protocol": kafka.security_protocol}
    if kafka.by_user:
        options |= {"sasl.mechanism": kafka.sasl_mechanism, "sasl.username": kafka.username}
        options["sasl.password"] = kafka.password.get_secret_value()
    if kafka.of_event_hubs:
        names = {"request.timeout": "socket.timeout"}
        options |= {f"{names.get(name, name)}.ms": str(each) for name, each in _EVENT_HUBS_MS.items()}
    if kafka.ca_file:
        options["ssl.ca.location"] = kafka.ca_file
    if kafka.certificate_file:
        options |= {"ssl.certificate.location": kafka.certificate_file, "ssl.key.location": kafka.key_file}
        options["ssl.key.password"] = kafka.key_password.get_secret_value()
    return options


def _jaas_line(kafka: KafkaSettings) -> str:
    module = _JAAS_MODULES[kafka.sasl_mechanism]
    user, password = _jaas_text(kafka.username), _jaas_text(kafka.password.get_secret_value())
    return f"{module} required username={user} password={password};"


def _jaas_text(text: str) -> str:
    """Quote a text as Java's StreamTokenizer reads it back."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _text(file: str) -> str:
    return Path(file).read_text(encoding="utf-8", errors="replace")


def _tls(kafka: KafkaSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if kafka.ca_file:
            context.load_verify_locations(kafka.ca_file)
        else:
            context.load_default_certs()
    except ssl.SSLError as error:
        raise SettingsError(
            f"{kafka.ca_file} holds no PEM certificate", where="[kafka] ca_file", hint="see conf/base.toml"
        ) from error
    if kafka.certificate_file:
        try:  # a password is always given, else OpenSSL would ask for it on the terminal
            context.load_cert_chain(kafka.certificate_file, kafka.key_file, kafka.key_password.get_secret_value())
        except ssl.SSLError as error:
            raise _unfit_key(kafka) from error
    return context


def _key_as_java_reads_it(kafka: KafkaSettings) -> str:
    """The private key as PKCS #8 without password: of other forms Kafka's Java client reads some or none."""
    from cryptography.hazmat.primitives import serialization  # here: most brokers ask for no certificate

    password = kafka.key_password.get_secret_value().encode() or None
    try:
        key = serialization.load_pem_private_key(Path(kafka.key_file).read_bytes(), password)
    except (ValueError, TypeError) as error:
        raise _unfit_key(kafka) from error
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def _unfit_key(kafka: KafkaSettings) -> SettingsError:
    return SettingsError(
        f"{kafka.key_file} is no PEM key of {kafka.certificate_file}, or its password is another",
        where="[kafka] key_file",
        hint="check certificate_file, key_file and SERVERLOAD_KAFKA__KEY_PASSWORD",
    )
