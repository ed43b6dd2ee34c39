"""What a plan is made from, read from the tables: forecasts of an issued hour, and the hours up to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES
from serverload.contracts.plan_settings import PLAN_HOURS
from serverload.planning.outlook import Floats
from serverload.store.fleet_hours import last_hours

PLAN_TABLES = ("forecasts", "hourly_load", "servers")
_MODEL = "model"
_PROBABILITIES = [f"probability_{name}" for name in CLASSES]
_FORECASTS = f"""
    select server_ip, horizon_hours, workload_class, {", ".join(_PROBABILITIES)}, model_version, issued_at,
        coalesce(basis, '{_MODEL}') as basis
    from forecasts
    where issued_hour = $issued and target_date between $first_day and $last_day and horizon_hours <= {PLAN_HOURS}
        and {{}}
    qualify row_number() over (partition by server_ip, horizon_hours order by revision desc) = 1
    order by server_ip, horizon_hours
"""


@dataclass(frozen=True, eq=False)
class IssuedForecasts:
    """Forecasts of one issued hour: of each server with all PLAN_HOURS of them from the model, and why others are out.

    `probabilities` and `said`: as `Outlook` has them. `left_out`: reason by server.
    """

    servers: tuple[str, ...]
    probabilities: Floats
    said: NDArray[np.int64]
    left_out: Mapping[str, str]
    model_version: str
    issued_at: datetime


def issued_forecasts(
    connection: DuckDBPyConnection, issued: datetime, *, as_of: datetime | None = None, first_issue: bool = False
) -> IssuedForecasts | None:
    """Of an issued hour the newest revisions, as written at a time, or what was issued first; None without any."""
    days = {"first_day": issued.date(), "last_day": (issued + timedelta(hours=PLAN_HOURS)).date()}
    condition, given = "revision = 0" if first_issue else "true", {"issued": issued, **days}
    if as_of is not None:
        condition, given = f"{condition} and issued_at <= $as_of", given | {"as_of": as_of}
    rows = pl.DataFrame(pl.from_arrow(connection.sql(_FORECASTS.format(condition), params=given).to_arrow_table()))
    if rows.is_empty():
        return None
    reasons = _reasons(rows)
    servers = tuple(server for server, reason in reasons.items() if not reason)
    kept = rows.filter(pl.col("server_ip").is_in(servers))
    index = {name: number for number, name in enumerate(CLASSES)}
    return IssuedForecasts(
        servers,
        kept.select(_PROBABILITIES).to_numpy().reshape(len(servers), PLAN_HOURS, len(CLASSES)),
        kept["workload_class"].replace_strict(index, return_dtype=pl.Int64).to_numpy().reshape(-1, PLAN_HOURS),
        {server: reason for server, reason in reasons.items() if reason},
        str(rows["model_version"][0]),
        rows["issued_at"].max(),  # type: ignore[arg-type]
    )


def _reasons(rows: pl.DataFrame) -> dict[str, str]:
    """Why no advice is given on a server, by server; empty where it is given."""
    missing = PLAN_HOURS - pl.len()
    other = pl.col("basis").filter(pl.col("basis") != _MODEL).first().replace("none", "nothing")
    reason = (
        pl.when(missing > 0)
        .then(pl.format("{} of the next {} hours have no forecast", missing, PLAN_HOURS))
        .when(other.is_not_null())
        .then(pl.format("not all of its forecasts rest on the model, but on {}", other))
        .otherwise(pl.lit(""))
    )
    return dict(rows.group_by("server_ip", maintain_order=True).agg(reason).rows())


def server_types(connection: DuckDBPyConnection) -> dict[str, str]:
    """The type of each server; "" is none."""
    rows = connection.sql("select server_ip, server_type from servers").fetchall()
    return {name: "" if kind is None else str(kind) for name, kind in rows}


def known_loads(
    connection: DuckDBPyConnection, servers: Sequence[str], *, first: int, last: int, retire_after_hours: int
) -> Floats:
    """Peak loads of servers in the hours (numbers) `first .. last`, 0 in idle ones, NaN in those that do not count.

    Shape (servers, hours).
    """
    known = last_hours(connection, last=last, count=last - first + 1, retire_after_hours=retire_after_hours)
    row_of = {name: row for row, name in enumerate(known.servers)}
    found = np.full((len(servers), last - first + 1), np.nan)
    for row, name in enumerate(servers):
        if name in row_of:
            found[row] = known.loads[row_of[name]]
    return found
