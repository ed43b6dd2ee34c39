"""A broker that lets nobody in without a login: four listeners, users, certificates, rights per topic."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from serverload.store.broker import EmbeddedBroker

KEY_PASSWORD = "key-of-the-reader-5Qz"
PASSWORDS = {
    "admin": "admin-secret",
    # what breaks careless quoting in JAAS, properties and shells
    "writer": "w\"r\\i;t=e'r $ü {x}",
    "reader": 'R3c0gn1sable "\\secret\\" of-the-reader',
    # as the Kafka endpoint of Event Hubs has it: who knows the connection string may read and write
    "$ConnectionString": "Endpoint=sb://fleet.servicebus.windows.net/;SharedAccessKeyName=all"
    ";SharedAccessKey=kEy+/\"of'the\\fleet==",
}
SCRAM_PASSWORDS = {"writer": "scram-of-the-writer", "reader": "scram-of-the-reader"}
PREFIX = "sessions"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class SecuredBroker:
    """Where its listeners are, and a folder with ca.pem, other-ca.pem, and NAME.pem, NAME.key of each user."""

    ports: Mapping[str, int]
    certificates: Path

    def bootstrap(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"

    def login(self, way: str, user: str) -> dict[str, str]:
        """The section [kafka] for a way of login, such as `SASL_SSL PLAIN`, as texts."""
        protocol, _, mechanism = way.partition(" ")
        passwords = SCRAM_PASSWORDS if mechanism.startswith("SCRAM") else PASSWORDS
        section = {"security_protocol": protocol}
        if mechanism:
            section |= {"sasl_mechanism": mechanism, "username": user, "password": passwords[user]}
        if protocol.endswith("SSL"):
            section["ca_file"] = str(self.certificates / "ca.pem")
        return section | (self.own_certificate(user) if protocol == "SSL" else {})

    def own_certificate(self, user: str) -> dict[str, str]:
        place = self.certificates / user
        return {
            "certificate_file": f"{place}.pem",
            "key_file": f"{place}.key",
            "key_password": KEY_PASSWORD,
        }

    def make_topic(self, name: str) -> str:
        with closing(self._admin()) as admin:
            admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
        return name

    def allow(self, user: str, operation: ACLOperation, kind: ResourceType, prefix: str) -> None:
        with closing(self._admin()) as admin:
            pattern = ResourcePattern(kind, prefix, ACLResourcePatternType.PREFIXED)
            rule = ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)
            assert not admin.create_acls([rule])["failed"]

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.bootstrap("SASL_PLAINTEXT"), **_ADMIN)


_ADMIN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "admin",
    "sasl_plain_password": PASSWORDS["admin"],
}


@contextmanager
def secured_broker(home: Path) -> Iterator[SecuredBroker]:
    """Run it; `writer` may only write topics that begin with `sessions`, `reader` only read them."""
    certificates = home / "certificates"
    certificates.mkdir()
    make_authority(certificates)
    ports = dict(zip(("SASL_SSL", "SSL"), _free_ports(2), strict=True))
    broker = EmbeddedBroker(
        properties=_properties(ports, certificates),
        client=_ADMIN,
        format_options=tuple(_scram_options()),
    )
    try:
        info = broker.start(home, port=0)
        ports["SASL_PLAINTEXT"] = int(info.bootstrap.rpartition(":")[2])
        secured = SecuredBroker(ports, certificates)
        secured.allow("writer", ACLOperation.WRITE, ResourceType.TOPIC, PREFIX)
        secured.allow("reader", ACLOperation.READ, ResourceType.TOPIC, PREFIX)
        for operation in (ACLOperation.WRITE, ACLOperation.READ):
            secured.allow("$ConnectionString", operation, ResourceType.TOPIC, PREFIX)
        yield secured
    finally:
        broker.stop(home)


def _properties(ports: Mapping[str, int], certificates: Path) -> dict[str, str]:
    listeners = {"SASL_PLAINTEXT": "{port}", **{name: str(port) for name, port in ports.items()}}
    addresses = [f"{name}://127.0.0.1:{port}" for name, port in listeners.items()]
    users = " ".join(f"user_{name}={_quoted(password)}" for name, password in PASSWORDS.items())
    admin = f"username=admin password={_quoted(PASSWORDS['admin'])}"
    plain = {f"listener.name.{name}.plain.sasl.jaas.config": f"{_PLAIN} {admin} {users};" for name in _SASL}
    scram = {f"listener.name.{name}.scram-sha-{bits}.sasl.jaas.config": _SCRAM for name in _SASL for bits in (256, 512)}
    return {
        "listeners": ",".join([*addresses, "CONTROLLER://127.0.0.1:{controller_port}"]),
        "advertised.listeners": ",".join(addresses),
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT," + ",".join(f"{name}:{name}" for name in listeners),
        "inter.broker.listener.name": "SASL_PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        **plain,
        **scram,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates / "broker.all.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates / "ca.pem"),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.sasl_ssl.ssl.client.auth": "requested",
        "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/,DEFAULT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",  # the controller's own listener asks for no login
    }


_SASL = ("sasl_plaintext", "sasl_ssl")


def _scram_options() -> Iterator[str]:
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        for user, password in SCRAM_PASSWORDS.items():
            yield from ("--add-scram", f"{mechanism}=[name={user},password={password}]")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def make_authority(folder: Path) -> None:
    """Certificates of an authority: ca.pem, those of the broker (with its key: broker.all.pem) and of the users."""
    authority = _Authority("serverload test authority")
    authority.write(folder / "ca.pem")
    _Authority("another authority").write(folder / "other-ca.pem")
    authority.sign("broker", folder, None)
    both = (folder / "broker.key").read_text() + (folder / "broker.pem").read_text()
    (folder / "broker.all.pem").write_text(both)
    for user in ("writer", "reader"):
        authority.sign(user, folder, KEY_PASSWORD)


class _Authority:
    """Signs certificates of a day."""

    def __init__(self, name: str) -> None:
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _named(name)
        self._own = self._signed(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=None))

    def write(self, file: Path) -> None:
        file.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, folder: Path, password: str | None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        place = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        signed = self._signed(_named(name), key.public_key(), place)
        closed = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed)
        )

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
        lasting = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        return lasting.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
