"""How good the forecasts were."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, Literal

import pyarrow as pa
from duckdb import DuckDBPyConnection
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serverload.store.quality import quality_in_sql
from serverload.store.quality_views import QUALITY_TABLES, beside_naive, calibration, confusion
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, rows_answer, wanted_format
from serving.descriptions import described
from serving.service import Service, ServiceOf

router = APIRouter(tags=["quality"], dependencies=TO_READ)

Days = Annotated[int, Query(ge=1, le=366, description="The newest days of matured forecasts.")]
By = Annotated[Literal["horizon", "group", "day", "class", "model"], Query(description="A row for each.")]


@router.get("/quality", summary="Scores of matured forecasts", responses=described(*MEDIA_TYPES.values()))
def quality(
    request: Request,
    service: ServiceOf,
    days: Days = 14,
    by: By = "horizon",
    format: Format | None = None,
) -> Response:
    """Scores as `serverload quality` tells them; no rows before anything has matured."""
    format = wanted_format(request, format)
    tables = service.tables

    def asked() -> pa.Table:
        with tables.sql(*QUALITY_TABLES) as connection:
            scores = quality_in_sql(connection, days=days, by=by)
        return pa.table({}) if scores is None else scores

    return rows_answer(tables.worked_out(("quality", days, by), QUALITY_TABLES, asked), format, "quality")


@router.get("/quality/naive", summary="Scores beside naive forecasts", responses=described(*MEDIA_TYPES.values()))
def naive(
    request: Request, service: ServiceOf, days: Days = 14, by: By = "horizon", format: Format | None = None
) -> Response:
    """Accuracy and RPS beside those of the same hours said by persistence and by the same hour a week before."""
    rules = service.rules

    def asked(connection: DuckDBPyConnection) -> pa.Table:
        return beside_naive(connection, days=days, by=by, low_max=rules.low_max, medium_max=rules.medium_max)

    return _seen(request, service, ("naive", days, by), "hourly_load", asked, format)


@router.get("/quality/confusion", summary="Class against class", responses=described(*MEDIA_TYPES.values()))
def class_against_class(
    request: Request, service: ServiceOf, days: Days = 14, format: Format | None = None
) -> Response:
    """How often which class was said where which came."""
    asked = partial(confusion, days=days)
    return _seen(request, service, ("confusion", days), "servers", asked, format)


@router.get(
    "/quality/calibration", summary="Probabilities against what came", responses=described(*MEDIA_TYPES.values())
)
def probabilities(request: Request, service: ServiceOf, days: Days = 14, format: Format | None = None) -> Response:
    """Of each class, in 15 equal bins of its probability: the mean of this, and how often the class came."""
    asked = partial(calibration, days=days)
    return _seen(request, service, ("calibration", days), "forecasts", asked, format)


def _seen(
    request: Request,
    service: Service,
    key: tuple[str, Hashable, *tuple[Hashable, ...]],
    more: str,
    asked: Callable[[DuckDBPyConnection], pa.Table],
    format: Format | None,
) -> Response:
    """Rows asked of the tables of quality and one more, under the last part of the address."""
    format = wanted_format(request, format)
    tables = tuple(dict.fromkeys((*QUALITY_TABLES, more)))

    def made() -> pa.Table:
        with service.tables.sql(*tables) as connection:
            return asked(connection)

    return rows_answer(service.tables.worked_out(key, tables, made), format, key[0])
