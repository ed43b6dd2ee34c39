"""The service over a home, and the system's Chromium to look at it."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, sync_playwright
from serve_cases import place

from serverload.contracts.settings import load_settings
from serving.app import make_app

LAST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
"""The newest closed hour of drawn fleets."""
IN_SIGHT = ".grid .body [role=row]:not([hidden])"
"""The rows of the fleet's grid that are in the document."""


@contextmanager
def served(home: Path, **serve: object) -> Iterator[str]:
    """The address of the service over a home."""
    if not (home / "shared").exists():
        place(home / "shared")
    app = make_app(load_settings(flags={"home": str(home), "serve": serve}), home / "shared")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        # as root, it starts without its sandbox only
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()
