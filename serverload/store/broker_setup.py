"""What an embedded broker needs before it runs: disk, ports, configuration, a formatted data folder."""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from errno import EADDRINUSE
from pathlib import Path

from serverload.contracts.errors import BrokerError, PlatformError
from serverload.store.jars import broker_jars
from serverload.store.java import find_java

HOST = "127.0.0.1"
FREE_BYTES_NEEDED = 1 << 30
_FORMAT_SECONDS = 60
_JVM_FAREWELLS = ("Error: Could not create the Java Virtual Machine", "Error: A fatal exception has occurred")
_LOG4J2 = """\
shutdownHook=disable
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=logs/broker.log
appender.file.filePattern=logs/broker-%i.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.start.type=OnStartupTriggeringPolicy
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=5
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
"""
_ALWAYS = {
    "log.dirs": "data",
    "auto.create.topics.enable": "false",
    # replayed events are years old: by their own time retention would delete them at once
    "log.message.timestamp.type": "LogAppendTime",
    "log.segment.bytes": str(64 << 20),
    "log.retention.hours": "168",
    "num.partitions": "4",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # one node, two cores: the defaults (128 MB for the cleaner) are a quarter of the heap
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
}


def server_properties(port: int, controller_port: int) -> dict[str, str]:
    """Return our settings of a cluster of one; paths are relative, so no character of the home can spoil them."""
    return _ALWAYS | {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
    }


def check_disk(folder: Path, needed: int = FREE_BYTES_NEEDED) -> None:
    """Refuse to start where a full disk would soon stop the broker in the middle of its work."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"only {free / 2**30:.1f} GiB free, the broker needs {needed >> 30} GiB"
        raise PlatformError(what, where=str(folder), hint="free some space or choose another --home")


def chosen_ports(port: int) -> tuple[int, int]:
    """Return the broker's port (0: a free one) and a free one for the controller; PlatformError if it is in use."""
    with ExitStack() as held:  # both are held until both are known, so they differ
        taken = [held.enter_context(socket.socket()) for _ in range(2)]
        for sock, wanted in zip(taken, (port, 0), strict=True):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: TIME_WAIT is not in use
            try:
                sock.bind((HOST, wanted))
            except (OSError, OverflowError) as error:
                why = "is in use" if isinstance(error, OSError) and error.errno == EADDRINUSE else "cannot be used"
                raise PlatformError(
                    f"port {wanted} on {HOST} {why}",
                    hint="choose another with `--port N`, or `--port 0` for a free one",
                ) from error
        return taken[0].getsockname()[1], taken[1].getsockname()[1]


def java_command(heap: str) -> list[str]:
    """Return the start of every command line: Java, its memory, the class path."""
    path = os.pathsep.join(str(jar) for jar in broker_jars())
    quick = ["-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
    return [str(find_java().executable), f"-Xmx{heap}", *quick, "-cp", path]


def write_configuration(folder: Path, ports: tuple[int, int], extra: Mapping[str, str]) -> None:
    """Write the files that Kafka reads at its start; `extra` wins, with {port} and {controller_port} filled in."""
    properties = server_properties(*ports)
    for key, value in extra.items():
        properties[key] = value.replace("{port}", str(ports[0])).replace("{controller_port}", str(ports[1]))
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "log4j2.properties").write_text(_LOG4J2, encoding="ascii")
    settings = folder / "server.properties"
    settings.touch(mode=0o600)  # it may hold passwords
    settings.write_text("".join(f"{key}={_escaped(value)}\n" for key, value in properties.items()), encoding="ascii")


def cluster_id_of(folder: Path, java: Sequence[str], format_options: Sequence[str]) -> str:
    """Return the data folder's cluster id; an empty folder is first formatted, once, under a new one."""
    meta = folder / "data" / "meta.properties"
    if not meta.exists():
        _format(folder, java, format_options)
    lines = dict(line.partition("=")[::2] for line in meta.read_text(encoding="utf-8").splitlines())
    if "cluster.id" not in lines:
        hint = f"restore it, or remove {folder} to begin anew without its messages"
        raise BrokerError("has no cluster.id", where=str(meta), hint=hint)
    return lines["cluster.id"]


def last_words(folder: Path) -> str:
    """Return the line of the newest logs that tells most of why a broker ended."""
    told = ""
    for log in (folder / "logs" / "jvm.out", folder / "logs" / "broker.log"):
        if log.exists():
            told += log.read_bytes()[-200_000:].decode("utf-8", errors="replace")
    return telling_line(told)


def telling_line(output: str) -> str:
    """Pick the last root cause, else the last exception, else the last error, else the last line; 300 characters."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(_JVM_FAREWELLS)]
    for pattern in (
        r"Caused by: ",
        r'(Exception in thread "[^"]*" )?[\w.$]+(Exception|Error): ',
        r".*\b(ERROR|FATAL)\b",
    ):
        if found := [line for line in lines if re.match(pattern, line)]:
            return re.sub(r'^(Caused by: |Exception in thread "[^"]*" )', "", found[-1])[:300]
    return (lines or ["it left no word"])[-1][:300]


def _format(folder: Path, java: Sequence[str], options: Sequence[str]) -> None:
    """Make the data folder a cluster of one. The leading byte keeps `-` off the id, which Kafka would refuse."""
    cluster_id = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    tool = [*java, "kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted"]
    command = [*tool, "--cluster-id", cluster_id, "--config", "server.properties", *options]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_FORMAT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise BrokerError(f"formatting took over {_FORMAT_SECONDS} s", where=str(folder)) from error
    if done.returncode != 0:
        raise BrokerError(f"formatting failed: {telling_line(done.stdout + done.stderr)}", where=str(folder))


def _escaped(value: str) -> str:
    """Write a value as java.util.Properties reads it: Latin-1 with backslash escapes."""
    plain = value.replace("\\", "\\\\").replace("\n", "\\n")
    units = plain.encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 127 else f"\\u{code:04x}" for code in codes)
