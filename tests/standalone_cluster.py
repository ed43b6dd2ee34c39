"""A standalone Spark cluster on this machine, of the pyspark distribution: a master and workers that can be killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"
UP_SECONDS = 180.0
HIDING = ["unshare", "--mount", "sh", "-euc", 'mount -t tmpfs none "$0"; exec "$@"']


def can_hide() -> bool:
    """Whether this user may give a process a view of the disk of its own."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


class Cluster:
    """A master and two workers of one core each; `hidden` is a folder that the workers are not to see."""

    def __init__(
        self,
        folder: Path,
        spark_home: Path,
        settings: Mapping[str, str] | None = None,
        hidden: Path | None = None,
    ) -> None:
        self._folder, self._spark, self._hidden = folder, spark_home, hidden
        self._environment = {
            **os.environ, "SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": HOST, "SPARK_DAEMON_MEMORY": "256m",
            "PYSPARK_PYTHON": sys.executable, **(settings or {}),
        }  # fmt: skip
        self._workers = list[subprocess.Popen[bytes]]()
        self._started = 0
        port = _free_port()
        self.master = f"spark://{HOST}:{port}"
        self._master = self._up(["master.Master", "--port", str(port)], "I have been elected leader")
        for _ in range(2):
            self.add_worker()

    def add_worker(self) -> None:
        """Start one more, and wait until the master has taken it in."""
        place = ["--work-dir", str(self._folder / f"work{self._started}")]
        worker = ["worker.Worker", "--cores", "1", "--memory", "1g", *place, self.master]
        self._workers.append(self._up(worker, "Successfully registered with master"))

    @property
    def worker_pids(self) -> list[int]:
        """The workers; executors and their Python workers are below them."""
        return [worker.pid for worker in self._workers]

    def kill_worker(self) -> None:
        """Kill the oldest with -9, its executors and their Python workers with it, as if its machine had gone."""
        _killed(self._workers.pop(0))

    def stop(self) -> None:
        for process in (*self._workers, self._master):
            _killed(process)

    def _up(self, arguments: list[str], sign: str) -> subprocess.Popen[bytes]:
        kind, *rest = arguments
        log = self._folder / f"cluster{self._started}.log"
        self._started += 1
        command = [str(self._spark / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", "--host", HOST]
        hiding = [*HIDING, str(self._hidden)] if self._hidden else []
        with log.open("wb") as words:
            process = subprocess.Popen(
                [*hiding, *command, "--webui-port", "0", *rest],
                stdout=words,
                stderr=words,
                env=self._environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + UP_SECONDS
        while sign not in log.read_text(errors="replace"):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.2)
        return process


def _killed(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
