"""Features of one server from the tables, without Spark: its hours on the grid, then the one feature definition."""

import numpy as np
import polars as pl
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from serverload.contracts.errors import InputError
from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import hour_start
from serverload.steps.features import feature_rows, lookback_hours
from serverload.steps.hours import FleetHours, ServerHours, server_hours
from serverload.store.table_reader import tables_in_sql

_FIRST_HOUR = "select epoch(first_hour)::bigint // 3600 from servers where server_ip = $server"
# the month is the partition: without it every file is read
_IN_REACH = "month between $first_month and $last_month and hour between $first and $last"
_FLEET = f"select distinct epoch(hour)::bigint // 3600 as hour from hourly_load where {_IN_REACH}"
_OBSERVED = f"""
    select epoch(hour)::bigint // 3600 as hour, {", ".join(PEAKS)}
    from hourly_load where server_ip = $server and {_IN_REACH}
"""


def stored_features(
    home: str, server: str, target_hours: NDArray[np.int64], horizons: NDArray[np.int64], *, retire_after_hours: int
) -> pl.DataFrame:
    """Features of a server as the tables now stand, a row per pair in the order given, as `feature_rows` gives them.

    They are those that the stream scores, from hours up to each origin alone. Raises InputError for a server that
    is not in the tables, StoreError.
    """
    first = int(target_hours.min()) - lookback_hours(int(horizons.max()), retire_after_hours)
    last = int((target_hours - horizons).max())
    hours = stored_hours(home, server, first=first, last=last, retire_after_hours=retire_after_hours)
    return feature_rows(hours, target_hours, horizons)


def stored_hours(home: str, server: str, *, first: int, last: int, retire_after_hours: int) -> ServerHours:
    """A server's hours (numbers, since 1970) `first .. last` on the grid, from its first hour on if that is later."""
    with tables_in_sql(home, "hourly_load", "servers") as tables:
        return hours_in_sql(tables, server, first=first, last=last, retire_after_hours=retire_after_hours)


def hours_in_sql(
    tables: DuckDBPyConnection, server: str, *, first: int, last: int, retire_after_hours: int
) -> ServerHours:
    """The same from a connection that sees `hourly_load` and `servers`."""
    start, end = hour_start(first), hour_start(last)
    reach = {"first": start, "last": end, "first_month": f"{start:%Y-%m}", "last_month": f"{end:%Y-%m}"}
    of_server = {"server": server}
    born = tables.sql(_FIRST_HOUR, params=of_server).fetchall()
    if not born:
        raise InputError(f"no server {server}", where="servers", hint="`serverload sql` lists them")
    rows = tables.sql(_OBSERVED, params=reach | of_server).to_arrow_table()
    fleet = tables.sql(_FLEET, params=reach).to_arrow_table()
    observed = rows["hour"].to_numpy()
    first_hour = min(born[0][0], *observed)
    return server_hours(
        observed,
        np.vstack([rows[peak].to_numpy() for peak in PEAKS]),
        first_hour=first_hour,
        grid_start=max(first, first_hour),
        last_hour=last,
        fleet=FleetHours.of(fleet["hour"].to_numpy()),
        retire_after_hours=retire_after_hours,
    )
