"""Faults done to a running system: its processes are found by what the kernel tells of them, and killed or stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PAUSE_SECONDS = 4.0
DISK_BYTES = 8 << 30


def arguments_of(pid: int) -> list[str]:
    """The command line of a process; empty when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def parent_of(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def below(root: int) -> list[int]:
    """All processes that a process has started, directly or not."""
    parents = {pid: parent_of(pid) for pid in processes()}
    found, fresh = set[int](), {root}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return sorted(found)


def java_of(root: int) -> list[int]:
    return [pid for pid in below(root) if arguments_of(pid)[:1] and arguments_of(pid)[0].endswith("java")]


def workers_of(root: int) -> list[int]:
    """Python workers of a Spark driver: the forks of its daemon, else the daemon."""
    daemons = [pid for pid in below(root) if "pyspark.daemon" in arguments_of(pid)]
    return [pid for pid in daemons if parent_of(pid) in daemons] or daemons


def executors_of(workers: Iterable[int]) -> list[int]:
    """Executors that these workers of a standalone cluster have started; another cluster here is left alone."""
    started = (pid for worker in workers for pid in below(worker))
    return [pid for pid in started if any("CoarseGrainedExecutorBackend" in word for word in arguments_of(pid))]


def killed(pids: list[int]) -> bool:
    """Kill the first of these with -9; False when there is none."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def paused(pids: list[int]) -> bool:
    """Stop the first of these for a while."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(PAUSE_SECONDS)
            os.kill(pid, signal.SIGCONT)
            return True
    return False


@dataclass(frozen=True)
class Disk:
    """A file system of its own, in memory, that can be full for a while."""

    folder: Path

    def fill(self, seconds: float) -> None:
        """Leave no room beyond what is used, wait, and give it back."""
        for _ in range(50):
            room = os.statvfs(self.folder)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            if self._sized(used):
                break
        time.sleep(seconds)
        assert self._sized(DISK_BYTES)

    def _sized(self, size: int) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def mounted(folder: Path) -> Iterator[Disk | None]:
    """A disk for a folder, while this lasts; None for users who may mount none."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@dataclass(frozen=True)
class Fault:
    """A kind of fault; `strike` does it and tells whether there was something to do it to."""

    kind: str
    strike: Callable[[], bool]
