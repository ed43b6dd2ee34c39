"""One secret for Event Hubs: address and login of its Kafka endpoint follow from the connection string."""

from __future__ import annotations

from pathlib import Path

import pytest

from serverload.contracts.errors import SettingsError
from serverload.contracts.settings import load_settings
from serverload.store.kafka_login import client_options, librdkafka_options, spark_options

VARIABLE = "SERVERLOAD_EVENTHUBS__CONNECTION_STRING"
SECRET = "s3cr3t+/of=the==policy="
OF_NAMESPACE = f"Endpoint=sb://fleet.servicebus.windows.net/;SharedAccessKeyName=serverload;SharedAccessKey={SECRET}"


def test_address_and_login_follow_and_the_whole_text_is_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, OF_NAMESPACE)
    settings = load_settings("azure")
    kafka = settings.kafka
    assert settings.stream.bootstrap == "fleet.servicebus.windows.net:9093"
    assert (kafka.security_protocol, kafka.sasl_mechanism, kafka.username) == ("SASL_SSL", "PLAIN", "$ConnectionString")
    assert kafka.password.get_secret_value() == OF_NAMESPACE
    assert SECRET not in repr(settings)


def test_clients_take_the_ages_that_event_hubs_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, OF_NAMESPACE)
    kafka = load_settings().kafka
    spark, python, librdkafka = spark_options(kafka), client_options(kafka), librdkafka_options(kafka)
    assert spark["kafka.metadata.max.age.ms"] == spark["kafka.connections.max.idle.ms"] == "180000"
    assert spark["kafka.request.timeout.ms"] == spark["kafka.default.api.timeout.ms"] == "60000"
    assert (python["metadata_max_age_ms"], python["connections_max_idle_ms"], python["request_timeout_ms"]) == (
        180_000,
        180_000,
        60_000,
    )
    assert (librdkafka["metadata.max.age.ms"], librdkafka["socket.timeout.ms"]) == ("180000", "60000")


def test_the_secret_may_come_from_a_file_and_the_emulator_has_no_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SERVERLOAD_SECRETS_DIR", str(tmp_path))
    (tmp_path / VARIABLE).write_text(OF_NAMESPACE.replace("fleet.servicebus.windows.net", "localhost") + "; \n")
    assert load_settings().stream.bootstrap == "localhost:9093"
    (tmp_path / VARIABLE).write_text(f"{OF_NAMESPACE};UseDevelopmentEmulator=true;\n")
    settings = load_settings()
    assert (settings.kafka.security_protocol, settings.stream.bootstrap) == (
        "SASL_PLAINTEXT",
        "fleet.servicebus.windows.net:9092",
    )


def test_an_address_and_a_login_that_are_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, OF_NAMESPACE)
    settings = load_settings(flags={"stream": {"bootstrap": "gateway:9093"}, "kafka": {"security_protocol": "SSL"}})
    assert (settings.stream.bootstrap, settings.kafka.security_protocol, settings.kafka.username) == (
        "gateway:9093",
        "SSL",
        "",
    )
    assert load_settings(flags={"stream": {"bootstrap": "gateway:9093"}}).kafka.username == "$ConnectionString"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (SECRET, "has no Endpoint=sb://HOST/; copy it whole, without quotes"),
        (f'"{OF_NAMESPACE}"', "has no Endpoint=sb://HOST/"),
        (
            OF_NAMESPACE.replace("SharedAccessKeyName", "Name"),
            "has neither SharedAccessKeyName and SharedAccessKey nor",
        ),
        (
            f"{OF_NAMESPACE};EntityPath=others",
            "is of event hub 'others', but [stream] topic is 'sessions'; set [stream]",
        ),
    ],
)
def test_a_text_that_is_none_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch, text: str, what: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"environment {VARIABLE}: {what}")
    assert SECRET not in str(refused.value)


def test_namespace_and_connection_string_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, OF_NAMESPACE)
    with pytest.raises(SettingsError, match="namespace and connection_string exclude each other; leave one of them"):
        load_settings(flags={"eventhubs": {"namespace": "fleet.servicebus.windows.net"}})
    monkeypatch.delenv(VARIABLE)
    assert load_settings(flags={"eventhubs": {"namespace": "fleet.servicebus.windows.net"}}).stream.bootstrap == ""
