"""The service over a home, and the system's Chromium to look at it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from serve_cases import place, running

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
    settings = load_settings(flags={"home": str(home), "serve": serve})
    with running(make_app(settings, home / "shared")) as url:
        yield url


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        # as root, it starts without its sandbox only
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()
