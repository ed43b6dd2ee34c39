"""The servers, by group, and one of them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from serverload.contracts.instants import EPOCH, HOUR, hour_number
from serverload.steps.hours import HourState
from serverload.store.newest_forecasts import ForecastQuery, found_forecasts, issued_until, last_target
from serverload.store.server_features import hours_in_sql
from serverload.store.table_reader import LONGEST_HORIZON
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, json_object, told_times
from serving.descriptions import described
from serving.parameters import LONGEST_NAME
from serving.problems import ProblemError
from serving.service import Service, ServiceOf

router = APIRouter(tags=["servers"], dependencies=TO_READ)
_JSON = MEDIA_TYPES[Format.JSON]
_FACTS = ["server_ip", "first_hour", "last_event", "server_type"]
MOST_HOURS = 24 * 31
By = Literal["type", "file"]


@router.get("/servers", summary="Servers by group", responses=described(_JSON))
def servers(
    service: ServiceOf,
    by: Annotated[By | None, Query(description="By the file of groups if there is one.")] = None,
) -> dict[str, Any]:
    """All servers, grouped by their type or by the groups file; those of no group stand under an empty name."""
    rows, _ = grouped_servers(service, by)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in told_times(rows).to_dicts():
        groups.setdefault(row.pop("group"), []).append(row)
    return {"groups": [{"group": name, "servers": groups[name]} for name in sorted(groups)]}


@router.get("/servers/{server}", summary="One server", responses=described(_JSON, more=(HTTPStatus.NOT_FOUND,)))
def server(
    service: ServiceOf,
    server: Annotated[str, Path(min_length=1, max_length=LONGEST_NAME)],
    hours: Annotated[int, Query(ge=1, le=MOST_HOURS, description="So many of its last hours.")] = 168,
) -> Response:
    """What is known of a server, its last hours, each observed, idle, missing or retired, and its newest forecasts."""
    found = known_server(service, server)
    group_of = _groups(service.grouping(None), [found])
    borders = {"low_max": service.rules.low_max, "medium_max": service.rules.medium_max}
    facts = found | {"group": group_of.get(server, "")} | borders
    return Response(
        json_object(facts, {"hours": _last_hours(service, server, hours), "forecasts": _coming(service, server)}),
        media_type=_JSON,
    )


def _servers(service: Service) -> pl.DataFrame:
    def asked() -> pa.Table:
        with service.tables.sql("servers") as connection:
            return connection.sql(f"select {', '.join(_FACTS)} from servers order by server_ip").to_arrow_table()

    return pl.DataFrame(pl.from_arrow(service.tables.worked_out("servers", ["servers"], asked)))


def _groups(given: Mapping[str, str] | None, rows: list[dict[str, Any]]) -> Mapping[str, str]:
    """Group by server: as given, else its type."""
    if given is not None:
        return given
    return {row["server_ip"]: "" if row["server_type"] is None else str(row["server_type"]) for row in rows}


def known_server(service: Service, server: str) -> dict[str, Any]:
    """The facts about a server. Raises ProblemError where there is none."""
    found = told_times(_servers(service).filter(pl.col("server_ip") == server)).to_dicts()
    if not found:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no server {server[:LONGEST_NAME]!r}")
    return found[0]


def grouped_servers(service: Service, by: By | None) -> tuple[pl.DataFrame, By]:
    """The servers with a column `group`, empty where a server has none, and by what they are grouped."""
    given, rows = service.grouping(by), _servers(service)
    group_of = _groups(given, rows.to_dicts())
    groups = pl.Series("group", [group_of.get(name, "") for name in rows["server_ip"]], dtype=pl.String)
    return rows.with_columns(groups), "type" if given is None else "file"


def _last_hours(service: Service, server: str, count: int) -> pl.DataFrame:
    """The newest hours up to the fleet's newest, from the server's first on; an open hour as it stands."""

    told = service.tables.highest("hourly_load", "hour")

    def asked() -> pa.Table:
        with service.tables.sql("hourly_load", "servers") as connection:
            newest = told or connection.sql("select max(hour) from hourly_load").fetchall()[0][0]
            if newest is None:
                return _hour_rows(np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0))
            last = hour_number(newest)
            retire = service.rules.retire_after_hours
            known = hours_in_sql(
                connection, server, first=last - count - retire + 1, last=last, retire_after_hours=retire
            )
        kept = slice(max(0, len(known.states) - count), None)
        numbers = known.grid_start + np.arange(len(known.states))
        return _hour_rows(numbers[kept], known.states[kept], known.peaks[0][kept])

    key = ("hours", server, count)
    return pl.DataFrame(pl.from_arrow(service.tables.worked_out(key, ["hourly_load", "servers"], asked)))


def _hour_rows(numbers: Any, states: Any, loads: Any) -> pa.Table:
    when = pl.Series("hour", numbers * 3_600_000_000, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    names = pl.Series("state", [HourState(state).name.lower() for state in states], dtype=pl.String)
    rows = pl.DataFrame([when, names, pl.Series("peak_load", loads, dtype=pl.Float64, nan_to_null=True)])
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _coming(service: Service, server: str) -> pl.DataFrame:
    last = last_target(service.tables) or EPOCH
    first = (issued_until(service.tables) or last) + HOUR
    query = ForecastQuery(first, min(last, first + LONGEST_HORIZON), (server,))
    return pl.DataFrame(pl.from_arrow(found_forecasts(service.tables, query)))
