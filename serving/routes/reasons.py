"""Why a forecast says what it says."""

from http import HTTPStatus
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from serverload.contracts.errors import InputError
from serverload.contracts.feature_columns import FEATURES
from serverload.model.flat_forest import FlatForest
from serverload.model.reasons import BASE, CALIBRATION, OTHERS
from serverload.store.forecast_reasons import forecast_reasons
from serverload.store.newest_forecasts import ForecastQuery, found_forecasts
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, json_object
from serving.descriptions import described
from serving.parameters import LONGEST_NAME, Hour
from serving.problems import ProblemError
from serving.routes.servers import known_server
from serving.service import Service, ServiceOf

router = APIRouter(tags=["servers"], dependencies=TO_READ)
_JSON = MEDIA_TYPES[Format.JSON]
_FACTS = ["server_ip", "issued_hour", "horizon_hours", "target_hour", "model_version", "workload_class"]
_MEANINGS = {feature.name: feature.comment for feature in FEATURES} | {
    BASE: "what the forest says of an hour that it knows nothing of",
    OTHERS: "all other features together",
    CALIBRATION: "what corrects the forest's probabilities by what came",
}
_MEANING = pl.col("feature").replace_strict(_MEANINGS, default=None, return_dtype=pl.String).alias("meaning")
_SUMS = ["issued_probability", "probability", "data_changed"]


@router.get(
    "/servers/{server}/reasons",
    summary="Why a forecast says so",
    responses=described(_JSON, more=(HTTPStatus.NOT_FOUND,)),
)
def reasons(
    service: ServiceOf,
    server: Annotated[str, Path(min_length=1, max_length=LONGEST_NAME)],
    hour: Annotated[Hour, Query(description="The target hour (UTC); its newest forecast is told of.")],
    top: Annotated[int, Query(ge=1, le=20, description="So many features.")] = 8,
) -> Response:
    """What made up the probability of the class that the newest forecast says: terms that add up to it.

    As `serverload forecasts --reasons` tells them; of the model versions that this service holds: the one at work and
    the one before it.
    """
    known_server(service, server)
    issued = found_forecasts(service.tables, ForecastQuery(hour, hour, (server,)))
    if not issued.num_rows:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no forecast of this server for {hour:%Y-%m-%dT%H:%M}Z")

    def held(version: str) -> FlatForest:
        return _held(service, version)

    try:
        retire = service.rules.retire_after_hours
        told = forecast_reasons(service.settings.home, issued, held, retire_after_hours=retire, top=top)
    except InputError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, str(error)) from error
    rows = pl.DataFrame(pl.from_arrow(told))
    facts = rows.head(1).select(*_FACTS, *_SUMS)
    terms = rows.select("feature", _MEANING, "value", "contribution")
    return Response(json_object({}, {"forecast": facts, "reasons": terms}), media_type=_JSON)


def _held(service: Service, version: str) -> FlatForest:
    found = service.champion.held(version)
    if found is None:
        what = f"version {version}, which issued it, is not held here; `serverload forecasts --reasons` fetches it"
        raise ProblemError(HTTPStatus.NOT_FOUND, what)
    return found.forest
