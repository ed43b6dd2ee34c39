"""The last hours of every server at once, each observed, idle, missing or retired, from the tables without Spark."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import hour_start
from serverload.steps.hours import FleetHours, HourState, server_hours

_SERVERS = "select server_ip, epoch(first_hour)::bigint // 3600 as first_hour from servers order by server_ip"
# the month is the partition: without it every file is read
_OBSERVED = """
    select server_ip, epoch(hour)::bigint // 3600 as hour, peak_load from hourly_load
    where month between $first_month and $last_month and hour between $first and $last order by server_ip, hour
"""


@dataclass(frozen=True, eq=False)
class LastHours:
    """Hours `first .. first + count - 1` (numbers) of each server, in the order of their names.

    `states` holds a HourState and `loads` the peak load, NaN where the hour does not count: shape (servers, count).
    """

    first: int
    servers: Sequence[str]
    states: NDArray[np.int8]
    loads: NDArray[np.float64]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.states.nbytes + self.loads.nbytes + sum(map(len, self.servers))


def last_hours(tables: DuckDBPyConnection, *, last: int, count: int, retire_after_hours: int) -> LastHours:
    """The `count` hours up to the hour number `last`, from a connection that sees `hourly_load` and `servers`."""
    grid_start = last - count - retire_after_hours + 1
    start, end = hour_start(grid_start), hour_start(last)
    reach = {"first": start, "last": end, "first_month": f"{start:%Y-%m}", "last_month": f"{end:%Y-%m}"}
    rows = tables.sql(_OBSERVED, params=reach).to_arrow_table()
    known: list[tuple[str, int]] = tables.sql(_SERVERS).fetchall()
    hours, loads = rows["hour"].to_numpy(), rows["peak_load"].to_numpy()
    counted = pc.value_counts(rows["server_ip"])
    ends = np.cumsum(counted.field("counts").to_numpy())
    begins = np.concatenate(([0], ends[:-1])) if ends.size else ends
    own_rows = dict(zip(counted.field("values").to_pylist(), map(slice, begins, ends), strict=True))
    fleet = FleetHours.of(hours)
    states = np.full((len(known), count), HourState.ABSENT, np.int8)
    of_server = np.full((len(known), count), np.nan)
    for place, (name, first_hour) in enumerate(known):
        own = own_rows.get(name, slice(0))
        told = server_hours(
            hours[own],
            np.broadcast_to(loads[own], (len(PEAKS), len(loads[own]))),
            first_hour=min([first_hour, *hours[own][:1]]),
            grid_start=grid_start,
            last_hour=last,
            fleet=fleet,
            retire_after_hours=retire_after_hours,
        )
        states[place], of_server[place] = told.states[-count:], told.peaks[0][-count:]
    return LastHours(last - count + 1, [name for name, _ in known], states, of_server)
