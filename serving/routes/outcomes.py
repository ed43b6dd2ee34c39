"""What came of a server's forecasts."""

from http import HTTPStatus
from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from serverload.contracts.instants import EPOCH
from serverload.store.server_outcomes import server_outcomes
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, rows_answer, wanted_format
from serving.descriptions import described
from serving.parameters import LONGEST_NAME
from serving.routes.servers import MOST_HOURS, known_server
from serving.service import ServiceOf

router = APIRouter(tags=["servers"], dependencies=TO_READ)
_TABLES = ("forecast_outcomes", "hourly_load")


@router.get(
    "/servers/{server}/outcomes",
    summary="Hits and misses of a server",
    responses=described(*MEDIA_TYPES.values(), more=(HTTPStatus.NOT_FOUND,)),
)
def outcomes(
    request: Request,
    service: ServiceOf,
    server: Annotated[str, Path(min_length=1, max_length=LONGEST_NAME)],
    horizon: Annotated[int, Query(ge=1, le=168, description="Of the forecasts issued so many hours ahead.")] = 24,
    hours: Annotated[int, Query(ge=1, le=MOST_HOURS, description="So many of the fleet's last hours.")] = 168,
    format: Format | None = None,
) -> Response:
    """The matured forecasts of a server's last hours, of each the newest revision, beside what came."""
    format = wanted_format(request, format)
    known_server(service, server)
    tables = service.tables
    told = tables.highest("hourly_load", "hour")

    def asked() -> pa.Table:
        with tables.sql(*_TABLES) as connection:
            last = told or connection.sql("select max(hour) from hourly_load").fetchall()[0][0] or EPOCH
            return server_outcomes(connection, server, horizon=horizon, last=last, count=hours)

    return rows_answer(tables.worked_out(("outcomes", server, horizon, hours), _TABLES, asked), format, "outcomes")
