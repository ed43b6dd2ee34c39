"""CSV history as live messages: each non-blank line once, at a chosen speed, going on where it was stopped."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from producers.faults import FaultLedger, FaultRates, Outgoing, outgoing
from producers.input_files import InputFile, input_files
from producers.merge import MergedLines
from producers.pace import Clock, Pace
from producers.positions import Position, PositionFile, State, replay_id
from producers.senders import Sender
from producers.topics import partition_of
from serverload.contracts.progress import Progress, Silent

CHECKPOINT_SECONDS = 1.0
CHECKPOINT_MESSAGES = 20_000
CHECKPOINT_BYTES = 8 << 20
PROGRESS_LINES = 1024


@dataclass(frozen=True)
class ReplayOptions:
    """How to replay: seconds of event time per second (None: unpaced), the faults, and whether from the start."""

    speed: float | None = None
    faults: FaultRates = field(default_factory=FaultRates)
    again: bool = False


@dataclass(frozen=True)
class ReplayResult:
    """What a replay did: messages sent now, those that an earlier start had sent, and whether all are sent."""

    replay_id: str
    sent: int
    sent_before: int
    finished: bool
    ledger: Path | None


def replay(
    paths: Sequence[str],
    sender: Sender,
    options: ReplayOptions,
    clock: Clock,
    *,
    positions: Path,
    progress: Progress | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> ReplayResult:
    """Send the lines behind `paths` (folders, globs, files, .gz) as messages, each exactly once.

    A message is the line's bytes without its LF; its key is the ServerIP field; its header names run and sequence
    number. The order is the same in every start, so a later start with the same arguments and `positions` folder
    skips what has arrived, even after kill -9, and sends nothing if all has. `stopping` is asked before each message.
    With faults, `<positions>/<replay id>.faults.jsonl` tells each one. Raises InputError, BrokerError, StoreError.
    """
    files = input_files(paths)
    name = replay_id(paths, options.faults, sender.destination)
    ledger = None if options.faults.none else positions / f"{name}.faults.jsonl"
    place = PositionFile(positions, name)
    with place.locked():
        position = None if options.again else place.load(files)
        if position is not None and position.state == "finished":
            return ReplayResult(name, 0, position.next_sequence, True, ledger)
        position, arrived = _resumed(position, sender, place, files)
        run = _Run(sender, clock, options, place, position, arrived, progress or Silent(), stopping)
        finished = run.send_all(files, ledger)
    return ReplayResult(name, run.sent, run.sent_before, finished, ledger)


def _resumed(
    position: Position | None, sender: Sender, place: PositionFile, files: Sequence[InputFile]
) -> tuple[Position, set[int]]:
    """The position to go on from, marked as running before anything is sent, and what has arrived beyond it."""
    if position is None:
        partitions = sender.destination.partitions
        fresh = Position(uuid.uuid4().hex[:12], partitions, "running", offsets=sender.flush())
        return place.begin(fresh, files), set()
    if position.state == "running":
        arrived = sender.sent_since(position.offsets, position.run)
        return position, {sequence for sequence in arrived if sequence >= position.next_sequence}
    return place.save(replace(position, state="running")), set()


class _Run:
    """One start of a replay, from its position to the end or to a stop."""

    def __init__(
        self,
        sender: Sender,
        clock: Clock,
        options: ReplayOptions,
        place: PositionFile,
        position: Position,
        arrived: set[int],
        progress: Progress,
        stopping: Callable[[], bool],
    ) -> None:
        self._sender, self._clock, self._place, self._position = sender, clock, place, position
        self._arrived, self._last_arrived = arrived, max(arrived, default=-1)
        self._faults, self._pace = options.faults, Pace(clock, options.speed)
        self._progress, self._stopping = progress, stopping
        self._checkpoint_at, self._messages, self._bytes = clock.now(), 0, 0
        self.sent = self.sent_before = 0

    def send_all(self, files: Sequence[InputFile], ledger: Path | None) -> bool:
        """Send what has not arrived; False if stopped before the end."""
        lines = MergedLines(list(files))
        self._progress.step("replay", sum(file.size for file in files), "bytes")
        sequence, reported = 0, 0
        with ExitStack() as stack:
            told = stack.enter_context(FaultLedger(ledger, files)) if ledger else None
            for sequence, message in enumerate(outgoing(lines, self._faults)):
                if self._stopping() or not self._send_in_time(sequence, message):
                    self._checkpoint(sequence, "stopped")
                    return False
                if told and message.faults:
                    told.tell(sequence, message)
                if sequence % PROGRESS_LINES == 0:
                    self._progress.advance(lines.bytes_read - reported)
                    reported = lines.bytes_read
            self._checkpoint(self.sent + self.sent_before, "finished")
        self._progress.advance(lines.bytes_read - reported)
        return True

    def _send_in_time(self, sequence: int, message: Outgoing) -> bool:
        """Send one message when it is due, unless it has arrived before; False if stopped while waiting."""
        if sequence < self._position.next_sequence or sequence in self._arrived:
            self.sent_before += 1
            return True
        pause = self._pace.pause_seconds(message.stream_time)
        if pause:
            if pause >= CHECKPOINT_SECONDS:
                self._checkpoint(sequence, "running")
            self._clock.sleep(pause)
            if self._stopping():
                return False
        key, text = message.source.key, message.text
        source = f"{self._position.run}:{sequence}".encode()
        self._sender.send(partition_of(key, sequence, self._position.partitions), key, text, source)
        self.sent, self._messages, self._bytes = self.sent + 1, self._messages + 1, self._bytes + len(text)
        full = self._messages >= CHECKPOINT_MESSAGES or self._bytes >= CHECKPOINT_BYTES
        if full or self._clock.now() - self._checkpoint_at >= CHECKPOINT_SECONDS:
            self._checkpoint(sequence + 1, "running")
        return True

    def _checkpoint(self, next_sequence: int, state: State) -> None:
        """Wait for all that was sent and write down that everything before `next_sequence` has arrived.

        While messages of an earlier start lie ahead, offsets and the need to read them back stay as they are.
        """
        offsets = self._sender.flush()
        self._checkpoint_at, self._messages, self._bytes = self._clock.now(), 0, 0
        reached = max(next_sequence, self._position.next_sequence)
        if reached <= self._last_arrived:
            self._position = replace(self._position, next_sequence=reached)
        else:
            self._position = replace(self._position, next_sequence=reached, offsets=offsets, state=state)
        self._place.save(self._position)
