"""A service over drawn tables, asked in this process as by HTTP."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from flat_cases import FOREST
from starlette.testclient import TestClient
from table_cases import forecast, hours, outcome, put

from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.settings import load_settings
from serverload.model.decision import Decision
from serverload.model.flat_files import save_flat
from serving.app import make_app
from serving.standing import PlacedModel, Standing, leave

SETS = Decision(thresholds={"": (0.3, 0.3, 0.3), "7": (0.1, 0.1, 0.1)})
CHANCES = {"probability_low": 0.5, "probability_medium": 0.3, "probability_high": 0.2, "basis": "model"}


def place(folder: Path, version: str = "3", *, trouble: str = "", only_horizons: tuple[int, ...] | None = None) -> None:
    """Leave the forest of two trees as a version of the model."""
    files = folder / f"{version}-files"
    files.mkdir(parents=True)
    save_flat(replace(FOREST, decision=SETS), files)
    placed = PlacedModel("serverload-forecast", version, files.name, only_horizons)
    leave(Standing(placed, trouble, time.time(), ({"version": version, "aliases": "champion"},)), folder)


def drawn_home(home: Path) -> None:
    """Two servers of two types with their hours, forecasts of two issued hours, one revised, and what matured."""
    servers = [("10.0.0.1", 7, -5), ("10.0.0.2", None, -3)]
    for name, kind, first in servers:
        put(
            home,
            "servers",
            {"server_ip": name, "first_hour": hours(first), "last_event": hours(1.9), "server_type": kind},
        )
    put(home, "hourly_load", *(load("10.0.0.1", hour, 100.0 + hour) for hour in (-5, -4, -2, 0, 1)))
    put(home, "hourly_load", *(load("10.0.0.2", hour, 20.0) for hour in (-3, 0, 1)))
    for issued in (0, 1):
        put(
            home,
            "forecasts",
            *(forecast(name, issued, ahead, **CHANCES) for name, *_ in servers for ahead in (1, 2, 3)),
        )
    late = {"revision": 1, "issued_at": hours(9), "workload_class": "high"}
    put(home, "forecasts", forecast("10.0.0.2", 1, 2, **CHANCES | late))
    put(
        home,
        "forecast_outcomes",
        outcome("10.0.0.1", 0, 1, "low", "low", rps=0.1),
        outcome("10.0.0.2", 0, 1, "low", "high", rps=0.5),
    )


def load(server: str, hour: int, peak: float) -> dict[str, object]:
    when = hours(hour)
    return {"server_ip": server, "hour": when, "sessions": 1, "month": f"{when:%Y-%m}", **dict.fromkeys(PEAKS, peak)}


@contextmanager
def asked(home: Path, **serve: object) -> Iterator[TestClient]:
    """A client of the service, with the forest of two trees as version 3 unless something was left before."""
    shared = home / "shared"
    if not shared.exists():
        place(shared)
    settings = load_settings(flags={"home": str(home), "serve": serve})
    with TestClient(make_app(settings, shared), base_url="http://127.0.0.1:8000") as client:
        yield client


@contextmanager
def running(service: FastAPI) -> Iterator[str]:
    """The address of a service that answers over HTTP, on a port of its own."""
    server = uvicorn.Server(uvicorn.Config(service, log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
