"""What the replay tests play on: a topic in memory with its sender, a clock turned by hand, files of lines."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from producers.replay import ReplayOptions, ReplayResult, replay
from producers.topics import Destination
from serverload.contracts.errors import BrokerError


class Killed(BaseException):
    """The process is gone: nobody catches this, nothing is tidied up."""


@dataclass(frozen=True)
class Message:
    key: bytes | None
    text: bytes
    source: bytes


@dataclass
class MemoryTopic:
    """A topic: one log per partition, offsets are places in it."""

    partitions: int = 3
    topic_id: str = "first"
    logs: list[list[Message]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logs = [[] for _ in range(self.partitions)]

    @property
    def texts(self) -> list[bytes]:
        return [message.text for log in self.logs for message in log]

    def of_run(self, run: str) -> dict[int, Message]:
        """The messages of a run by sequence number; fails if one is there twice."""
        found: dict[int, Message] = {}
        for message in (message for log in self.logs for message in log):
            of, number = message.source.decode().split(":")
            if of == run:
                assert int(number) not in found
                found[int(number)] = message
        return found


@dataclass
class RecordingSender:
    """A Sender onto a MemoryTopic: messages travel until the flush, and a death may lose or deliver each of them.

    It dies at a send or at a flush, when so many of them have come before; what travelled then arrives or not,
    one by one, as `luck` has it.
    """

    topic: MemoryTopic
    dies_at_send: int | None = None
    dies_at_flush: int | None = None
    luck: Random = field(default_factory=lambda: Random(0))
    order: list[bytes] = field(default_factory=list)
    _travelling: list[tuple[int, Message]] = field(default_factory=list)
    _flushes: int = 0

    @property
    def destination(self) -> Destination:
        return Destination("sessions", self.topic.topic_id, "cluster", self.topic.partitions)

    def send(self, partition: int, key: bytes | None, text: bytes, source: bytes) -> None:
        if self.dies_at_send is not None and len(self.order) >= self.dies_at_send:
            self._die()
        self.order.append(text)
        self._travelling.append((partition, Message(key, text, source)))

    def flush(self) -> dict[int, int]:
        if self.dies_at_flush is not None and self._flushes >= self.dies_at_flush:
            self._die()
        self._flushes += 1
        for partition, message in self._travelling:
            self.topic.logs[partition].append(message)
        self._travelling = []
        return {partition: len(log) for partition, log in enumerate(self.topic.logs)}

    def sent_since(self, offsets: Mapping[int, int], run: str) -> set[int]:
        late = [p for p in range(self.topic.partitions) if offsets.get(p, 0) > len(self.topic.logs[p])]
        if late:
            raise BrokerError(f"partition {late[0]} no longer holds what was sent last")
        tails = [message for p, log in enumerate(self.topic.logs) for message in log[offsets.get(p, 0) :]]
        return {int(m.source.split(b":")[1]) for m in tails if m.source.startswith(f"{run}:".encode())}

    def close(self) -> None:
        self._travelling = []

    def _die(self) -> None:
        for partition, message in self._travelling:
            if self.luck.random() < 0.5:
                self.topic.logs[partition].append(message)
        raise Killed


@dataclass
class ManualClock:
    """A clock that moves when slept on, and by `tick` seconds whenever it is read."""

    tick: float = 0.0
    seconds: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        self.seconds += self.tick
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def line(time: str, server: str = "10.0.0.1", load: str = "1.5") -> bytes:
    """A session line of 16 fields; `time` like `06-01 00:05:00`, of 2016, or whatever the field is to hold."""
    start = f"2016-{time}" if time[2:3] == "-" else time
    return f"{start},2016-06-01 00:00:10,1,2.5,1,0,3,1,1,1,1,1,1,{load},10.9.9.9,{server}".encode()


def write_lines(path: Path, lines: Iterable[bytes], end: bytes = b"\n") -> Path:
    """Write a file of lines; one named .gz as gzip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = b"".join(each + end for each in lines)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def replayed(folder: Path, *paths: Path | str, sender: RecordingSender, **options: object) -> ReplayResult:
    """Replay onto a sender, positions in `folder`, with a clock that makes a checkpoint every few messages."""
    clock = options.pop("clock", None) or ManualClock(tick=0.2)
    stopping = options.pop("stopping", lambda: False)
    return replay(
        [str(path) for path in paths],
        sender,
        ReplayOptions(**options),  # type: ignore[arg-type]
        clock,  # type: ignore[arg-type]
        positions=folder,
        stopping=stopping,  # type: ignore[arg-type]
    )
