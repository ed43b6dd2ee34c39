"""The process behind the embedded broker: launched apart from us, recognised for certain, ended only if recognised.

A number alone proves nothing: pids are reused. A process is ours when the kernel's start time is the recorded one
and its command line carries our mark.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class BrokerProcess:
    """A launched process: its pid, the start time that the kernel tells, and the argument that marks it as ours."""

    pid: int
    started: str
    mark: str

    def alive(self) -> bool:
        """Tell whether this very process still runs; a zombie and another process under its pid do not count."""
        return _seen(self.pid, self.mark) == self.started

    def end(self, patience_seconds: float) -> bool:
        """SIGTERM, wait, SIGKILL, wait; True when it is gone. Each signal goes only to a process still ours."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive():
                return True
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return True
            if wait_until(lambda: not self.alive(), patience_seconds):
                return True
        return False


def launch(command: Sequence[str], *, mark: str, folder: Path, output: Path) -> BrokerProcess:
    """Start a command that outlives us: own session, no terminal, its output into a file emptied first.

    The shell between leaves at once, so the process is nobody's child here: no zombie, nothing to reap.
    """
    script = '"$@" </dev/null >"$0" 2>&1 & echo $!'
    done = subprocess.run(
        ["/bin/sh", "-c", script, str(output), *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    pid = int(done.stdout)
    return BrokerProcess(pid, _seen(pid, mark) or "never seen", mark)


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Poll until something holds; False when the time is over before it does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _seen(pid: int, mark: str) -> str | None:
    """Return the start time of a living process that carries the mark, else None."""
    if not Path("/proc/self/stat").exists():
        return _seen_by_ps(pid, mark)
    try:
        # the name in brackets may hold blanks and brackets: count the fields behind the last one
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    marked = os.fsencode(mark) in arguments
    return fields[19] if marked and fields[0] != "Z" else None


def _seen_by_ps(pid: int, mark: str) -> str | None:
    """Do the same where there is no /proc (macOS)."""
    asked = ["ps", "-ww", "-p", str(pid), "-o", "stat=", "-o", "lstart=", "-o", "command="]
    answer = subprocess.run(asked, capture_output=True, text=True, errors="replace").stdout.split(maxsplit=6)
    if len(answer) < 7 or answer[0].startswith("Z") or mark not in answer[6]:
        return None
    return " ".join(answer[1:6])
