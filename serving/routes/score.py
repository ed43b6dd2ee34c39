"""Forecasts on demand, from what the caller sends."""

import os
from http import HTTPStatus
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from serving.access import TO_SCORE
from serving.answers import json_object
from serving.descriptions import described
from serving.metrics import SCORED
from serving.problems import ProblemError, bad_body
from serving.score_request import ScoreRequest
from serving.scoring import scored
from serving.service import Service, ServiceOf

router = APIRouter(tags=["score"], dependencies=TO_SCORE)
_JSON = "application/json"
_REFERENCE = "#/components/schemas/{model}"
_BODY = {"required": True, "content": {_JSON: {"schema": {"$ref": _REFERENCE.format(model=ScoreRequest.__name__)}}}}
_AT_ONCE = CapacityLimiter(max(2, os.cpu_count() or 1))


@router.post(
    "/score",
    summary="Score histories or features",
    responses=described(
        _JSON, more=(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.BAD_REQUEST)
    ),
    openapi_extra={"requestBody": _BODY},
)
async def score(request: Request, service: ServiceOf) -> Response:
    """What the stream would issue for servers with these histories, or for these rows of features.

    Histories: the hours from each server's first one on, a number for an hour with sessions, null for one without.
    Give 38 days or more, or all there are: features look that far back.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != _JSON:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {_JSON}, as Content-Type tells")
    body = await request.body()
    # neither reading nor scoring may hold up the other requests of this process
    content = await to_thread.run_sync(_answer, service, body, limiter=_AT_ONCE)
    return Response(content, media_type=_JSON)


def _answer(service: Service, body: bytes) -> bytes:
    model = service.model()
    try:
        asked = ScoreRequest.model_validate_json(body)
    except ValidationError as error:
        raise bad_body(error) from error
    made = scored(asked, model, service.rules, service.decision)
    SCORED.inc(made.forecasts.height)
    facts = {"model_name": model.name, "model_version": model.version, "without_forecast": list(made.without_forecast)}
    return json_object(facts, {"forecasts": made.forecasts})


def schemas() -> dict[str, Any]:
    """The schemas of the body, for the OpenAPI document."""
    made = ScoreRequest.model_json_schema(ref_template=_REFERENCE)
    return {**made.pop("$defs"), ScoreRequest.__name__: made}
