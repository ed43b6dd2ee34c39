"""The live system as an operator has it: broker, producer and stream in processes of their own, started again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from faults import (
    PAUSE_SECONDS,
    Disk,
    Fault,
    arguments_of,
    executors_of,
    java_of,
    killed,
    paused,
    processes,
    workers_of,
)
from standalone_cluster import Cluster

NOT_INHERITED = ("SPARK_DRIVER_MEMORY", "PYSPARK_")
ENDED_SECONDS = 180.0
SENT_SECONDS = 1800.0


class Service:
    """A command that is started again whenever it fails, as a service manager does, until it exits with 0."""

    def __init__(self, arguments: Sequence[str], settings: dict[str, str], log: Path) -> None:
        # a session of this process has left its launch settings in the environment
        kept = {key: entry for key, entry in os.environ.items() if not key.startswith(NOT_INHERITED)}
        self._command, self._environment = [sys.executable, "-m", "serverload", *arguments], {**kept, **settings}
        self._log = log
        self._process = self._started()
        self._ending = threading.Event()
        self.starts = 1
        self._watch = threading.Thread(target=self._keep_up, daemon=True)
        self._watch.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def done(self) -> bool:
        """Whether it has ended by itself, well."""
        return self._process.poll() == 0

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._ending.set()
        self._watch.join()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=ENDED_SECONDS)

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def _keep_up(self) -> None:
        while not self._ending.wait(0.2):
            if self._process.poll() not in (None, 0):
                time.sleep(0.5)
                self._process = self._started()
                self.starts += 1


def run(arguments: Sequence[str], settings: dict[str, str]) -> str:
    """Run a command to its end; its standard output."""
    kept = {key: entry for key, entry in os.environ.items() if not key.startswith(NOT_INHERITED)}
    done = subprocess.run(
        [sys.executable, "-m", "serverload", *arguments],
        capture_output=True,
        text=True,
        env={**kept, **settings},
        timeout=600,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class System:
    """Broker, producer and stream on a home."""

    def __init__(
        self,
        home: Path,
        disk: Disk | None,
        logs: Path,
        files: Sequence[Path],
        sending: Sequence[str],
        settings: dict[str, str],
        cluster: Cluster | None = None,
    ) -> None:
        self._cluster = cluster
        self.home, self._disk, self._settings, self._replay_log = home, disk, settings, logs / "replay.out"
        self._port = run(["broker", "start", "--home", str(home), "--port", "0"], settings).split(",")[0].split(":")[-1]
        self.bootstrap = f"127.0.0.1:{self._port}"
        place = ["--home", str(home)]
        self.stream = Service(["stream", *place], settings, logs / "stream.out")
        self.replay = Service(["replay", *map(str, files), *place, *sending], settings, self._replay_log)

    def faults(self) -> list[Fault]:
        """The kinds of faults that can befall it."""
        return [
            Fault("kill -9 of the stream's Python", lambda: killed([self.stream.pid])),
            Fault("kill -9 of the stream's Java", lambda: killed(java_of(self.stream.pid))),
            Fault("kill -9 of a Python worker", lambda: killed(self._workers())),
            Fault("kill -9 of the producer", lambda: not self.replay.done and killed([self.replay.pid])),
            Fault("kill -9 of the broker", self._kill_broker),
            Fault("the stream's Java stopped for a while", lambda: paused(java_of(self.stream.pid))),
            Fault("the broker stopped for a while", lambda: paused(_brokers(self.home))),
            *([Fault("no room on the disk for a while", partial(self._fill, self._disk))] if self._disk else []),
            *([Fault("kill -9 of an executor", lambda: killed(self._executors()))] if self._cluster else []),
        ]

    def finish(self) -> None:
        """Let the producer end, and stop the stream."""
        deadline = time.monotonic() + SENT_SECONDS
        while not self.replay.done:
            assert time.monotonic() < deadline, self._replay_log.read_text()[-2000:]
            time.sleep(0.2)
        self.stream.stop()

    def close(self) -> None:
        for service in (self.replay, self.stream):
            service._ending.set()
            with suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGKILL)
        run(["broker", "stop", "--home", str(self.home)], self._settings)

    def _workers(self) -> list[int]:
        return [worker for process in (self.stream.pid, *self._executors()) for worker in workers_of(process)]

    def _executors(self) -> list[int]:
        return executors_of(self._cluster.worker_pids) if self._cluster else []

    def _kill_broker(self) -> bool:
        done = killed(_brokers(self.home))
        time.sleep(1)
        self._start_broker()
        return done

    def _fill(self, disk: Disk) -> bool:
        disk.fill(PAUSE_SECONDS)
        self._start_broker()  # it ends when it cannot write
        return True

    def _start_broker(self) -> None:
        run(["broker", "start", "--home", str(self.home), "--port", self._port], self._settings)


def _brokers(home: Path) -> list[int]:
    return [pid for pid in processes() if f"-Dserverload.broker={home / 'broker'}" in arguments_of(pid)]
