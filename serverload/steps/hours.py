"""The hours of one server on a dense grid, where a shift is time: observed, idle, missing or retired.

An hour is a number here, as in `contracts.instants`: whole hours since 1970-01-01 UTC.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.feature_columns import PEAKS


class HourState(IntEnum):
    """What is known of one hour of one server. Only observed and idle hours count, or can be a label."""

    ABSENT = 0
    """Before the server's first hour."""
    OBSERVED = 1
    """It has sessions."""
    IDLE = 2
    """It has none, but some other server has: every peak is 0."""
    MISSING = 3
    """The whole fleet is silent: nothing is known."""
    RETIRED = 4
    """No sessions, nor in any of the `retire_after_hours` hours before: nothing is known until it returns."""


@dataclass(frozen=True)
class FleetHours:
    """The hours in which any server has sessions: one bit an hour, 8 kB for seven years, cheap to ship."""

    start: int
    packed: bytes

    @classmethod
    def of(cls, hours: NDArray[np.int64]) -> "FleetHours":
        """Build it from hour numbers in any order."""
        if not hours.size:
            return cls(0, b"")
        start = int(hours.min())
        bits = np.zeros(int(hours.max()) - start + 1, dtype=np.bool_)
        bits[hours - start] = True
        return cls(start, np.packbits(bits).tobytes())

    def contains(self, hours: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each hour whether any server has sessions in it."""
        silent = np.zeros(1, dtype=np.bool_)
        bits = np.unpackbits(np.frombuffer(self.packed, dtype=np.uint8)).astype(np.bool_)
        return np.concatenate((silent, bits, silent)).take(hours - (self.start - 1), mode="clip")


@dataclass(frozen=True, eq=False)
class ServerHours:
    """One server's hours from `grid_start` on, without a gap.

    `states` holds a HourState per hour; `peaks` has shape (8, hours), its rows are PEAKS: the measured value
    in observed hours, 0 in idle ones, NaN in hours that do not count.
    """

    first_hour: int
    grid_start: int
    retire_after_hours: int
    states: NDArray[np.int8]
    peaks: NDArray[np.float64]

    @property
    def last_hour(self) -> int:
        """The newest hour of the grid; `grid_start - 1` if the grid is empty."""
        return self.grid_start + len(self.states) - 1

    @property
    def counting(self) -> NDArray[np.bool_]:
        """The hours, observed or idle, that count in means and can be labels."""
        counting: NDArray[np.bool_] = (self.states == HourState.OBSERVED) | (self.states == HourState.IDLE)
        return counting

    def awaits_forecast(self, origin: int) -> bool:
        """Whether any of the last `retire_after_hours` hours up to and including `origin` is observed."""
        end = max(0, origin + 1 - self.grid_start)
        recent = self.states[max(0, end - self.retire_after_hours) : end]
        return bool((recent == HourState.OBSERVED).any())


def server_hours(
    hours: NDArray[np.int64],
    peaks: NDArray[np.float64],
    *,
    first_hour: int,
    grid_start: int,
    last_hour: int,
    fleet: FleetHours,
    retire_after_hours: int,
) -> ServerHours:
    """Lay one server's observed hours on the dense grid `grid_start .. last_hour`; other hours are left out.

    `hours`: those with sessions, each once, any order. `peaks`: shape (8, hours), rows as PEAKS. `first_hour`: of
    its whole history. `fleet` must know the whole grid: an hour it does not know is taken for missing.
    A grid may start later than the first hour, but no hour before it counts as observed then: ask such a
    slice only for targets `features.lookback_hours` after its start, or idle hours come out retired.
    """
    grid = np.arange(grid_start, max(grid_start, last_hour + 1), dtype=np.int64)
    inside = (hours >= grid_start) & (hours <= last_hour)
    at = hours[inside] - grid_start
    observed = np.isin(grid, hours)
    born = min(first_hour, int(hours.min())) if hours.size else first_hour
    states = np.where(fleet.contains(grid), HourState.IDLE, HourState.MISSING).astype(np.int8)
    states[_hours_since_observed(observed) > retire_after_hours] = HourState.RETIRED
    states[observed] = HourState.OBSERVED
    states[grid < born] = HourState.ABSENT
    dense = np.full((len(PEAKS), grid.size), np.nan)
    dense[:, states == HourState.IDLE] = 0.0
    dense[:, at] = peaks[:, inside]
    return ServerHours(born, grid_start, retire_after_hours, states, dense)


def unseen_server(last_hour: int, retire_after_hours: int) -> ServerHours:
    """Hours of a server that never had a session: nothing is known up to and including `last_hour`."""
    return server_hours(
        np.empty(0, dtype=np.int64),
        np.empty((len(PEAKS), 0)),
        first_hour=last_hour + 1,
        grid_start=last_hour + 1,
        last_hour=last_hour,
        fleet=FleetHours.of(np.empty(0, dtype=np.int64)),
        retire_after_hours=retire_after_hours,
    )


def _hours_since_observed(observed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Hours from the newest observed hour to each hour; longer than any history where there was none."""
    never = np.int64(-(2**40))
    position = np.arange(observed.size, dtype=np.int64)
    return position - np.maximum.accumulate(np.where(observed, position, never))
