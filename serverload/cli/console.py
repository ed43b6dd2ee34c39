"""Progress on stderr: one bar of named steps on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

_PLAIN_SECONDS = 10.0
_REPEATED_SECONDS = 600.0


class Recent:
    """Lines told of late: what an idle stream says again and again, for days, is told once in ten minutes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}

    def is_new(self, line: str) -> bool:
        """Tell whether a line was not told within the last ten minutes, and note that it is now."""
        now = self._clock()
        self._told = {told: at for told, at in self._told.items() if now - at < _REPEATED_SECONDS}
        if line in self._told:
            return False
        self._told[line] = now
        return True


class Bar:
    """A bar that names the step at hand and how far it has come."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("start", total=None)
        self._recent = Recent(time.monotonic)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Begin a step; `unit` is not shown, the share is."""
        del unit
        self._bar.reset(self._task, description=name, total=total)

    def advance(self, amount: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, amount)

    def say(self, line: str) -> None:
        """Print a line above the bar, unless it was told of late."""
        if self._recent.is_new(line):
            self._bar.console.print(line, highlight=False, markup=False)


class Lines:
    """Plain lines: each step as it begins, unless it was told of late, and its share at most every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name, self._total, self._done, self._told_at = "", None, 0, clock()
        self._recent = Recent(clock)

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to tidy up."""

    def step(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Print the step's name unless it was told of late."""
        size = f" ({total:,} {unit})" if total and unit else ""
        self.say(f"{name}{size}")
        self._name, self._total, self._done, self._told_at = name, total, 0, self._clock()

    def advance(self, amount: int) -> None:
        """Print the share now and then."""
        self._done += amount
        now = self._clock()
        if self._total and now - self._told_at >= _PLAIN_SECONDS:
            self._told_at = now
            self.say(f"{self._name}: {min(1.0, self._done / self._total):.0%}")

    def say(self, line: str) -> None:
        """Print a line unless it was told of late."""
        if self._recent.is_new(line):
            print(line, file=sys.stderr, flush=True)

    _total: int | None


def progress() -> Bar | Lines:
    """A bar where stderr is a terminal, lines where it is not."""
    return Bar() if sys.stderr.isatty() else Lines()
