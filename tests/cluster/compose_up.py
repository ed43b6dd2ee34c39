"""The services of ours in docker-compose.yml as processes of this machine: `docker compose up` without an engine.

Their commands, environment, health checks and order are those of the file. What differs: names of services are
127.0.0.1, ports are free ones, /data is a folder, and Kafka is the embedded broker.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy_files import ROOT, documents, filled_in

from producers.topics import ensure_topic
from serverload.store.broker import EmbeddedBroker

ENOUGH_SECONDS = 900.0
OWN_PORTS = {
    "mlflow": ("5000",),
    "spark-master": ("7077", "8080"),
    "spark-worker": ("8081",),
    "stream": ("9464",),
    "serving": ("8080",),
}
"""Ports that a service listens on, as its command, environment and health check name them."""


class Composed:
    """The file's services of ours, started in its order; use it as a context, at whose end all are stopped."""

    def __init__(self, folder: Path, given: Mapping[str, str]) -> None:
        """`given`: variables that the file asks for."""
        (compose,) = documents(ROOT / "docker-compose.yml")
        self.services: dict[str, dict[str, Any]] = compose["services"]
        self.folder, self._given = folder, given
        self.ports = {name: dict(zip(own, free_ports(len(own)), strict=True)) for name, own in OWN_PORTS.items()}
        self.running: dict[str, list[subprocess.Popen[str]]] = {}
        self._broker, self.bootstrap = EmbeddedBroker(), ""
        for volume in ("home", "sessions", "mlflow", "serving"):
            (folder / "data" / volume).mkdir(parents=True)

    def __enter__(self) -> "Composed":
        self.bootstrap = self._broker.start(self.folder, port=0).bootstrap
        ensure_topic(self.bootstrap, "sessions", 4)
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(self.running):
            self.stop(name)
        self._broker.stop(self.folder)

    def up(self, name: str) -> None:
        """Start a service, once what it depends on is as it wants it."""
        for other, how in self.services[name].get("depends_on", {}).items():
            if other in OF_OTHERS:
                continue
            if other not in self.running:
                self.up(other)
            self.wait(other, how["condition"])
        replicas = self.services[name].get("deploy", {}).get("replicas", 1)
        self.running[name] = [self._start(name, self.services[name]["command"], place) for place in range(replicas)]

    def wait(self, name: str, condition: str) -> None:
        """Until a service is started, healthy, or has ended well."""
        begun = time.monotonic()
        while not self._is(name, condition):
            assert time.monotonic() < begun + ENOUGH_SECONDS, f"{name} is not {condition}\n{self.told(name)}"
            time.sleep(0.5)
        print(f"  {name:14} {condition.removeprefix('service_'):24} {time.monotonic() - begun:6.1f} s", flush=True)

    def run(self, name: str, words: Sequence[str]) -> str:
        """Another command in the place of a service, to its end, as `docker compose run` and `exec`; its stdout."""
        environment = self._environment(name, 0)
        done = subprocess.run(self._words(name, words, 0), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self, name: str) -> list[int]:
        """SIGTERM, and how long the file grants to end; exit codes."""
        for process in self.running[name]:
            process.send_signal(signal.SIGTERM)
        grace = float(self.services[name].get("stop_grace_period", "30s").removesuffix("s"))
        return [process.wait(timeout=grace) for process in self.running[name]]

    def told(self, name: str) -> str:
        """What a service has printed."""
        return (self.folder / f"{name}.log").read_text()[-4000:]

    def _is(self, name: str, condition: str) -> bool:
        ended = [process.poll() for process in self.running[name]]
        if condition == "service_completed_successfully":
            assert not any(ended), self.told(name)
            return None not in ended
        assert all(each is None for each in ended), self.told(name)
        return condition == "service_started" or all(self._healthy(name, place) for place in range(len(ended)))

    def _healthy(self, name: str, place: int) -> bool:
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command, environment = self._words(name, words, place), self._environment(name, place)
        return subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode == 0

    def _start(self, name: str, words: Sequence[str], place: int) -> subprocess.Popen[str]:
        with (self.folder / f"{name}.log").open("a") as log:
            return subprocess.Popen(
                self._words(name, words, place), env=self._environment(name, place), stdout=log, stderr=log, text=True
            )

    def _words(self, name: str, words: Sequence[str], place: int) -> list[str]:
        return [self._here(name, word, place) for word in words]

    def _environment(self, name: str, place: int) -> dict[str, str]:
        told = {
            key: self._here(name, str(entry), place)
            for key, entry in self.services[name].get("environment", {}).items()
        }
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, **told, "PATH": path, "PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"}

    def _here(self, name: str, text: str, place: int) -> str:
        """A text of the file as it is on this machine."""
        others = {
            "kafka:19092": self.bootstrap,
            "mlflow:5000": f"127.0.0.1:{self.ports['mlflow']['5000']}",
            "spark-master:7077": f"127.0.0.1:{self.ports['spark-master']['7077']}",
            "spark-master": "127.0.0.1",
            "0.0.0.0": "127.0.0.1",
            "localhost": "127.0.0.1",
            "/data/": f"{self.folder}/data/",
            "/tmp/work": f"{self.folder}/work-{place}",
        }
        here = others | {port: str(free + place) for port, free in self.ports.get(name, {}).items()}
        names = "|".join(sorted(map(re.escape, here), key=len, reverse=True))
        return re.sub(names, lambda found: here[found[0]], filled_in(text, self._given))


OF_OTHERS = {"kafka", "topic"}
"""Services of other people's images that ours wait for."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, and nobody on the one after each."""
    found: list[int] = []
    while len(found) < count:
        with socket.create_server(("127.0.0.1", 0)) as asked:
            port = int(asked.getsockname()[1])
        try:
            with socket.create_server(("127.0.0.1", port + 1)):
                found.append(port)
        except OSError:
            continue
    return found
