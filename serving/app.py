"""The service of one worker process: its addresses, what stands around them, and what goes on beside them."""

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event, Thread
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

import serverload
from serverload.contracts.settings import Settings
from serving.guard import Guard
from serving.problems import ProblemError, told_fields, told_problem, told_status
from serving.routes import (
    fleet,
    forecasts,
    health,
    models,
    outcomes,
    pages,
    pipeline,
    plan,
    quality,
    reasons,
    score,
    servers,
)
from serving.service import Service
from serving.standing import mark

_END_SECONDS = 10.0
_FIRST_LOOK_SECONDS = 20.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ROUTERS = (
    *(forecasts.router, servers.router, outcomes.router, reasons.router, score.router, models.router, quality.router),
    *(plan.router, fleet.router, pipeline.router, health.router, pages.router),
)


def make_app(settings: Settings, folder: Path) -> FastAPI:
    """The service over a home; `folder` is what its processes share, and where the model is left for them."""
    service = Service.of(settings, folder)
    app = FastAPI(
        title="serverload",
        version=serverload.__version__,
        summary="Workload forecasts: low, medium or high for each of the next hours and each server.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_beside(service),
    )
    app.state.service = service
    for router in _ROUTERS:
        app.include_router(router)
    pages.add_files(app)
    app.add_exception_handler(ProblemError, told_problem)
    app.add_exception_handler(RequestValidationError, told_fields)
    app.add_exception_handler(HTTPException, told_status)
    hosts = () if service.keys else (*LOOPBACK, settings.serve.host)
    app.add_middleware(Guard, most_bytes=settings.serve.max_body_bytes, hosts=hosts)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def worker_app(settings: Settings, folder: Path) -> FastAPI:
    """The same in a process of its own, which ends with the one that started it.

    It begins once the registry has been asked: a process without a model would refuse what the others score.
    """
    logging.basicConfig(stream=sys.stderr, format="serverload: %(message)s", level=logging.WARNING)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    until = time.monotonic() + _FIRST_LOOK_SECONDS
    while mark(folder) is None and time.monotonic() < until:
        time.sleep(0.05)
    return make_app(settings, folder)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _beside(service: Service) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.champion.look()
        stop = Event()
        thread = Thread(target=service.keep_up, args=(stop,), daemon=True)
        thread.start()
        yield
        stop.set()
        await to_thread.run_sync(thread.join, _END_SECONDS)

    return lifespan


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the body that `POST /score` reads by itself and the shape of problems."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        made.setdefault("components", {}).setdefault("schemas", {}).update(score.schemas())
        app.openapi_schema = made
    return app.openapi_schema
