"""What a client tells of a refusal becomes one line; anything else stays what it is."""

import pytest

from serverload.store.kafka_access import refusal


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ("SaslAuthenticationFailedError: [Error 58]", "refuses this user, its password or its mechanism"),
        ("org.apache.kafka.common.errors.SaslAuthenticationException: x", "refuses this user"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "shows a certificate that is not trusted"),
        ("[SSL: SSLV3_ALERT_BAD_CERTIFICATE]", "wants a client certificate that it trusts"),
        ("Handshake failed: [SSL: UNEXPECTED_EOF_WHILE_READING]", "the TLS handshake fails"),
        ("SslAuthenticationException: SSL handshake failed", "the TLS handshake fails"),
        ("Broker: Topic authorization failed", "gives this login no right to do this with topic 'sessions'"),
        ("KafkaError{FATAL,code=CLUSTER_AUTHORIZATION_FAILED", "gives this login no right to do this with topic"),
    ],
)
def test_a_refusal_is_told_in_our_words(told: str, what: str):
    line = str(refusal("host:9092", told, "sessions"))
    assert line.startswith(f"broker at host:9092: {what}")
    assert "; " in line


@pytest.mark.parametrize("told", ["", "KafkaTimeoutError: Unable to bootstrap", "Connection refused", "disk full"])
def test_other_failures_are_no_refusal(told: str):
    assert refusal("host:9092", told, "sessions") is None
