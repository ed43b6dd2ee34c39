"""How good the forecasts were."""

from typing import Annotated, Literal

import pyarrow as pa
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serverload.store.quality import quality_in_sql
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, rows_answer, wanted_format
from serving.descriptions import described
from serving.service import ServiceOf

router = APIRouter(tags=["quality"], dependencies=TO_READ)
_TABLES = ("forecast_outcomes", "shadow_forecasts", "servers")


@router.get("/quality", summary="Scores of matured forecasts", responses=described(*MEDIA_TYPES.values()))
def quality(
    request: Request,
    service: ServiceOf,
    days: Annotated[int, Query(ge=1, le=366, description="The newest days of matured forecasts.")] = 14,
    by: Annotated[
        Literal["horizon", "group", "day", "class", "model"], Query(description="A row for each.")
    ] = "horizon",
    format: Format | None = None,
) -> Response:
    """Scores as `serverload quality` tells them; no rows before anything has matured."""
    format = wanted_format(request, format)
    tables = service.tables

    def asked() -> pa.Table:
        with tables.sql(*_TABLES) as connection:
            scores = quality_in_sql(connection, days=days, by=by)
        return pa.table({}) if scores is None else scores

    return rows_answer(tables.worked_out(("quality", days, by), _TABLES, asked), format, "quality")
