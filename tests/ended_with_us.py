"""Ends what a test run left running, once the run itself has ended, however that was.

It reads a mark on stdin, waits until that pipe closes, and ends each process whose environment carries the mark.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress


def left(mark: str) -> list[int]:
    """Processes of ours that carry the mark."""
    shown = subprocess.run(["ps", "xeww", "-o", "pid=,args="], capture_output=True, text=True, errors="replace")
    return [int(line.split(maxsplit=1)[0]) for line in shown.stdout.splitlines() if mark in line]


def end_all(mark: str, patience_seconds: float) -> None:
    """SIGTERM, wait, SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience_seconds
        while left(mark) and time.monotonic() < deadline:
            time.sleep(0.2)


if __name__ == "__main__":
    mark = sys.stdin.readline().strip()
    sys.stdin.read()
    end_all(mark, patience_seconds=20)
