"""How long work reports itself; the command line draws it."""

from typing import Protocol


class Progress(Protocol):
    """Receives the named steps of a job and how far each has come."""

    def step(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Begin a step; the one before it is done. `total` in `unit`, None where it is not known."""

    def advance(self, amount: int) -> None:
        """Add to the current step's amount."""

    def say(self, line: str) -> None:
        """Tell something worth knowing beside the bar."""


class Silent:
    """Reports nothing."""

    def step(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Ignore the step."""

    def advance(self, amount: int) -> None:
        """Ignore the amount."""

    def say(self, line: str) -> None:
        """Ignore the line."""
