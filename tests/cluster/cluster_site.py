"""What an operator of a cluster has: the built wheel in an environment of its own, its archive, and the scripts of
deploy/. Nothing of the checkout is on the way of its commands: they run in another folder, with variables of their own.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "deploy" / "spark"
KEPT = ("HOME", "LANG", "TMPDIR", "JAVA_HOME", "XDG_CACHE_HOME", "STARTED_BY", "SPARK_SUBMIT_OPTS", "SERVERLOAD_JARS")
JOB_SECONDS = 1800.0
Job = subprocess.Popen[str]


def make_environment(folder: Path) -> Path:
    """Build the wheel and make of it the environment and its archive, as docs/cluster.md has it; the wheel."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    script = [str(SCRIPTS / "environment.sh"), str(wheel), str(folder)]
    subprocess.run(script, check=True, env={**os.environ, "PYTHON": sys.executable}, cwd=folder)
    return wheel


def own_interpreter() -> Path | None:
    """The folder of the interpreter that the environment has taken along; None for one of the system."""
    return None if sys.base_prefix == "/usr" else Path(sys.base_prefix)


@dataclass(frozen=True)
class Site:
    """An environment, the settings of its commands, and what is logged."""

    folder: Path
    settings: dict[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "environment" / "bin" / "python"

    @property
    def spark_home(self) -> Path:
        (found,) = self.folder.glob("environment/lib/python*/site-packages/pyspark")
        return found

    def run(self, *arguments: str) -> str:
        """A command of the installed wheel, to its end; its standard output."""
        return ended(self._started(str(self.python), "-m", "serverload", *arguments))

    def submit(self, *arguments: str) -> Job:
        """Start a job on the cluster."""
        return self._started(str(SCRIPTS / "submit.sh"), "standalone", *arguments)

    def _started(self, *command: str) -> Job:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        java = str(Path(shutil.which("java") or "/usr/bin/java").parent)
        environment = {**kept, "PATH": f"/usr/local/bin:/usr/bin:/bin:{java}", "ENVIRONMENT": str(self.folder)}
        return subprocess.Popen(
            command,
            env={**environment, **self.settings},
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "told.log").open("a"),
            start_new_session=True,
        )


def ended(job: Job) -> str:
    """Wait for the end of a command; its standard output."""
    told = job.communicate(timeout=JOB_SECONDS)[0]
    assert job.returncode == 0, f"{job.args} ended with {job.returncode}\n{told}"
    return told


def stop_driver(job: Job) -> None:
    """SIGTERM to the Python of a driver, which spark-submit, a Java process, has started."""
    children = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True)
    for pid in children.stdout.split():
        os.kill(int(pid), signal.SIGTERM)


def wait_until(condition: Callable[[], bool], job: Job, what: str) -> None:
    """Wait while a job works; it must not end before the condition holds."""
    deadline = time.monotonic() + JOB_SECONDS
    while not condition():
        assert job.poll() is None, f"{job.args} ended with {job.returncode} before it has {what}"
        assert time.monotonic() < deadline, f"{job.args} has not {what}"
        time.sleep(0.5)
