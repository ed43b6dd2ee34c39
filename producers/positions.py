"""How far a replay has come, kept on disk so that the same command goes on where it was."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from producers.faults import FaultRates
from producers.input_files import InputFile
from producers.topics import Destination
from serverload.contracts.errors import InputError, StoreError

State = Literal["running", "stopped", "finished"]


@dataclass(frozen=True)
class Position:
    """Every message before `next_sequence` has arrived; later ones of the run can only be from `offsets` on.

    `run` marks the run's messages in the topic. In state `running` the process may have died after it wrote this:
    then the topic tells what else was sent. `partitions` stays that of the run's first start, so that a key keeps
    its partition.
    """

    run: str
    partitions: int
    state: State
    next_sequence: int = 0
    offsets: dict[int, int] = field(default_factory=dict)


def replay_id(paths: Sequence[str], faults: FaultRates, destination: Destination) -> str:
    """Name a replay by its command: the paths as given, the faults, and the very topic; not by its speed."""
    places = sorted({os.path.normpath(Path(path.removeprefix("file://")).expanduser().absolute()) for path in paths})
    what = {"paths": places, "faults": None if faults.none else asdict(faults)}
    where = {"topic": destination.topic, "topic_id": destination.topic_id, "cluster_id": destination.cluster_id}
    return hashlib.sha256(json.dumps([what, where], sort_keys=True).encode()).hexdigest()[:16]


class PositionFile:
    """The position of one replay at `<folder>/<replay id>.json`, and beside it the files that it reads."""

    def __init__(self, folder: Path, name: str) -> None:
        self._position, self._files = folder / f"{name}.json", folder / f"{name}.files.json"
        self._lock = folder / f"{name}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the replay for the block; raises StoreError if another process has it."""
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock, timeout=0):
                yield
        except Timeout as error:
            raise StoreError("this replay is running already", where=str(self._lock), hint="stop it first") from error

    def begin(self, position: Position, files: Sequence[InputFile]) -> Position:
        """Write the first position of a run and the files it is of."""
        _write(self._files, {str(file.path): file.size for file in files})
        return self.save(position)

    def save(self, position: Position) -> Position:
        """Write the position so that a crash leaves this one or the one before."""
        _write(self._position, asdict(position))
        return position

    def load(self, files: Sequence[InputFile]) -> Position | None:
        """Read the position; None if there was never one. Raises InputError if the files have changed since."""
        if not self._position.exists():
            return None
        try:
            told = json.loads(self._position.read_text(encoding="utf-8"))
            before = json.loads(self._files.read_text(encoding="utf-8"))
            position = Position(**{**told, "offsets": {int(key): offset for key, offset in told["offsets"].items()}})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"is damaged: {error}", where=str(self._position), hint="use --again") from error
        now = {str(file.path): file.size for file in files}
        for changed in sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path)):
            what = f"changed since this replay began (from {_size(before, changed)} to {_size(now, changed)})"
            hint = "replay new files by their own path, or use --again to send everything anew"
            raise InputError(what, where=changed, hint=hint)
        return position


def _size(files: dict[str, int], path: str) -> str:
    return f"{files[path]} bytes" if path in files else "absent"


def _write(path: Path, content: dict[str, object] | dict[str, int]) -> None:
    partial = path.with_suffix(".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error
