"""What is asked of a line: the settings that the kernel needs, as plain values."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from serverload.contracts.errors import SettingsError
from serverload.contracts.instants import EPOCH

MICROSECOND = timedelta(microseconds=1)
MINUTE_MICROS = 60_000_000

SOURCES = ("history", "live")
_TIMES = ("batch_time", "earliest", "latest", "cutover")
_ALWAYS_BEFORE = -(2**63)
_NEVER_REACHED = 2**63 - 1


class TimeLimits(NamedTuple):
    """The rules about time in microseconds since 1970 UTC; a limit that is not set lies out of reach."""

    skipped_before: int
    skipped_from: int
    earliest: int
    latest: int
    ahead_after: int


@dataclass(frozen=True)
class LineRules:
    """What a batch asks of its lines; plain values, so that they travel to a worker.

    Times must know their zone. `batch_time` is fixed when the batch is planned: a retry must see the same.
    `earliest` (inclusive) and `latest` (exclusive) bound the accepted times. History owns the times before
    `cutover` and live those from it on; lines of the other side are skipped. `server_pattern` is a regular
    expression that must match the whole ServerIP and replaces the rule that it is an address.
    Raises SettingsError for an unknown source, a time without zone and a pattern that does not compile.
    """

    source: str
    batch_time: datetime
    max_ahead_minutes: int = 60
    earliest: datetime | None = None
    latest: datetime | None = None
    only_servers: frozenset[str] = frozenset()
    cutover: datetime | None = None
    server_pattern: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that would fail, or silently mean something else, at the first line."""
        if self.source not in SOURCES:
            raise SettingsError(f"expected one of {', '.join(SOURCES)}, got {self.source!r}", where="source")
        for name in _TIMES:
            time = getattr(self, name)
            if time is not None and time.utcoffset() is None:
                raise SettingsError(f"expected a time with its zone, got {time}", where=name)
        try:
            re.compile(self.server_pattern or "")
        except re.error as error:
            raise SettingsError(f"not a regular expression: {error}", where="server_pattern") from error

    @cached_property
    def limits(self) -> TimeLimits:
        """The rules about time as whole microseconds."""
        live = self.source == "live"
        return TimeLimits(
            skipped_before=_micros(self.cutover if live else None, _ALWAYS_BEFORE),
            skipped_from=_micros(None if live else self.cutover, _NEVER_REACHED),
            earliest=_micros(self.earliest, _ALWAYS_BEFORE),
            latest=_micros(self.latest, _NEVER_REACHED),
            ahead_after=_micros(self.batch_time, 0) + self.max_ahead_minutes * MINUTE_MICROS,
        )

    @cached_property
    def server_regex(self) -> re.Pattern[str] | None:
        """The compiled `server_pattern`, if there is one."""
        return None if self.server_pattern is None else re.compile(self.server_pattern)


def _micros(time: datetime | None, otherwise: int) -> int:
    return otherwise if time is None else (time - EPOCH) // MICROSECOND
