"""What a command left behind."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ran:
    """Exit code and the two streams of a command that has ended."""

    code: int
    out: str
    err: str
