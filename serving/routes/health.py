"""Is it alive, is it fit to answer, and what has it done: for probes and Prometheus."""

import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from serverload.contracts.errors import ServerloadError
from serving.access import TO_READ
from serving.descriptions import described, problems
from serving.metrics import exposition
from serving.problems import ProblemError
from serving.service import Service, ServiceOf

router = APIRouter(tags=["health"])
_LOOKS_MISSED = 10


@router.get("/healthz", summary="Alive", responses=described("application/json"))
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", summary="Fit to answer", responses=problems(HTTPStatus.SERVICE_UNAVAILABLE))
def readyz(service: ServiceOf) -> dict[str, Any]:
    """A model is loaded and the newest forecasts are fresh; a champion that cannot be used is told, and is no bar."""
    checks = [_model(service), _registry(service), _forecasts(service), _keys(service)]
    if not all(check["ok"] for check in checks):
        wrong = "; ".join(check["found"] for check in checks if not check["ok"])
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, wrong, more={"checks": checks})
    return {"status": "ok", "checks": checks}


@router.get("/metrics", summary="For Prometheus", dependencies=TO_READ, responses=described("text/plain"))
def metrics(service: ServiceOf) -> Response:
    """Requests, seconds, the model at work, and when forecasts were last issued."""
    return Response(exposition(service), media_type="text/plain; version=0.0.4")


def _check(name: str, ok: bool, found: str) -> dict[str, Any]:
    return {"check": name, "ok": ok, "found": found}


def _model(service: Service) -> dict[str, Any]:
    model = service.champion.model
    return _check("model", model is not None, f"{model.name} version {model.version}" if model else "no model yet")


def _registry(service: Service) -> dict[str, Any]:
    """What is wrong with the champion or the registry is told; the last good model answers meanwhile."""
    looked_at, trouble = service.champion.standing.looked_at, service.champion.trouble
    late = time.time() - looked_at > 60 + _LOOKS_MISSED * service.settings.serve.poll_seconds
    if late:
        return _check("registry", False, "the registry is not watched")
    return _check("registry", True, "the last good model answers: see the log" if trouble else "watched")


def _forecasts(service: Service) -> dict[str, Any]:
    try:
        issued_at = service.newest_issued_at()
    except ServerloadError:
        return _check("forecasts", False, "the tables cannot be read")
    if issued_at is None:
        return _check("forecasts", False, "no forecasts yet")
    minutes = (datetime.now(UTC) - issued_at).total_seconds() / 60
    found = f"the newest forecasts were issued {minutes:.0f} minutes ago"
    return _check("forecasts", minutes <= service.settings.serve.fresh_minutes, found)


def _keys(service: Service) -> dict[str, Any]:
    if service.keys is None:
        return _check("keys", True, "none: this machine alone is answered")
    try:
        service.keys.now()
    except (ServerloadError, OSError):
        return _check("keys", False, "keys cannot be read; nobody is let in")
    return _check("keys", True, "read")
