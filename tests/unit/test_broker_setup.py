"""What a broker is given before it runs, and which of its last lines is worth showing."""

from __future__ import annotations

import socket

import pytest

from serverload.contracts.errors import PlatformError
from serverload.store.broker_setup import check_disk, chosen_ports, server_properties, telling_line, write_configuration


def test_nobody_outside_this_machine_can_reach_the_broker():
    properties = server_properties(9092, 40000)
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:40000"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"


def test_own_properties_win_and_get_the_chosen_ports(tmp_path):
    write_configuration(
        tmp_path, (9092, 40000), {"num.io.threads": "9", "listeners": "A://h:{port},B://h:{controller_port}"}
    )
    lines = (tmp_path / "server.properties").read_text().splitlines()
    assert "num.io.threads=9" in lines
    assert "listeners=A://h:9092,B://h:40000" in lines
    assert len([line for line in lines if line.startswith("listeners=")]) == 1


def test_a_password_is_written_as_java_reads_it_and_only_for_the_owner(tmp_path):
    write_configuration(tmp_path, (1, 2), {"jaas": 'user="ü" password="a\\b";'})
    settings = tmp_path / "server.properties"
    assert 'jaas=user="\\u00fc" password="a\\\\b";' in settings.read_text().splitlines()
    assert settings.stat().st_mode & 0o777 == 0o600


def test_free_ports_differ_and_a_given_one_is_kept():
    assert len(set(chosen_ports(0))) == 2
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert chosen_ports(free)[0] == free


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(PlatformError, match=f"port {port} on 127.0.0.1 cannot be used; choose another with `--port N`"):
        chosen_ports(port)


def test_a_nearly_full_disk_is_refused_before_the_start(tmp_path):
    with pytest.raises(PlatformError, match=r"only .* GiB free, the broker needs 1000000 GiB; free some space"):
        check_disk(tmp_path, needed=1_000_000 << 30)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("", "it left no word"),
        ("started\nstopped\n", "stopped"),
        ("2026-01-01 ERROR no quorum (kafka)\nbye\n", "2026-01-01 ERROR no quorum (kafka)"),
        ('Exception in thread "main" a.b.ConfigException: bad\n\tat x.Y(Y.java:1)\n', "a.b.ConfigException: bad"),
        (
            "a.KafkaException: outer\n\tat x\nCaused by: java.net.BindException: taken\n\tat y\n",
            "java.net.BindException: taken",
        ),
        (
            "Invalid maximum heap size: -Xmx1x\nError: Could not create the Java Virtual Machine.\n",
            "Invalid maximum heap size: -Xmx1x",
        ),
    ],
)
def test_of_a_brokers_last_lines_the_cause_is_told(output, line):
    assert telling_line(output) == line
