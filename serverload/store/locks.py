"""Locks that tell who holds them: one process per checkpoint, one commit at a time per local table."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from serverload.contracts.errors import StoreError
from serverload.contracts.homes import is_local

COMMIT_WAIT_SECONDS = 600.0


@contextmanager
def held(lock_file: Path, what: str, *, wait_seconds: float = COMMIT_WAIT_SECONDS) -> Iterator[None]:
    """Hold a lock file for the block; the system frees it when the process dies.

    Raises StoreError naming the holder when it is not free in time.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    holder = lock_file.with_suffix(".holder.json")
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        raise StoreError(
            f"in use by {_holder(holder)}", where=what, hint="wait for it or stop it, then try again"
        ) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(Path(arg).name for arg in sys.argv[:2])}))
        yield
    finally:
        lock.release()


@contextmanager
def held_for_home(home: str, name: str, *, wait_seconds: float = COMMIT_WAIT_SECONDS) -> Iterator[None]:
    """Hold a named lock of a local home; on shared storage, where file locks mean nothing, hold none."""
    if not is_local(home):
        yield
        return
    with held(Path(home) / "locks" / f"{name}.lock", name, wait_seconds=wait_seconds):
        yield


def require_free(home: str, name: str) -> None:
    """Raise StoreError, naming the holder, where a lock is held right now: told before anything that takes long."""
    if is_local(home) and (Path(home) / "locks" / f"{name}.lock").exists():
        with held_for_home(home, name, wait_seconds=0):
            pass


def _holder(holder: Path) -> str:
    try:
        known = json.loads(holder.read_text())
        return f"process {known['pid']} ({known['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
