"""A drawn fleet to look at, and what opens its pages."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from drawn_fleet import HOSTILE, Fleet
from looking import LAST, chromium, served
from playwright.sync_api import Browser, Page, expect
from table_cases import put

ENOUGH_MILLISECONDS = 60_000
expect.set_options(timeout=ENOUGH_MILLISECONDS)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty servers, one of them with a name that wants to be markup, batches and refused lines."""
    folder = tmp_path_factory.mktemp("fleet")
    Fleet.drawn([*(f"10.0.0.{place}" for place in range(1, 40)), HOSTILE], LAST).write(folder, issues=30)
    for number in range(3):
        at = LAST + timedelta(minutes=number)
        refused = {"read": 1000 + number, "accepted": 990, "rejected": 10 + number, "skipped": 0, "lost_offsets": 0}
        by_reason = [("total_load", 7 + number), ("columns", 3)]
        when = {"batch_time": at, "committed_at": at + timedelta(seconds=4), "last_event": at}
        told = {"source": "live", "checkpoint_id": "c", "batch_id": number, "rejected_by_reason": by_reason}
        put(folder, "ingest_log", told | refused | when)
    line = {"source": "live", "batch_id": 2, "rejected_at": LAST, "origin": "sessions/0/7"}
    put(folder, "rejects", line | {"reason": "total_load", "line": f"2016-06-01,{HOSTILE}"})
    put(folder, "rejects", line | {"reason": "columns", "line": "a,b"})
    event = {"event_at": LAST, "checkpoint_id": "c", "event": "broker_away", "detail": "no broker at kafka:9092"}
    put(folder, "stream_log", event)
    return folder


@pytest.fixture(scope="session")
def address(home: Path) -> Iterator[str]:
    with served(home) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def look(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open a page of the dashboard; in the end nothing may have gone wrong in it, as a breach of its policy would."""
    wrong: list[str] = []
    contexts = []

    def opened(path: str, url: str = address, **traits: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **traits})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(ENOUGH_MILLISECONDS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(f"{url}/dashboard/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    # an answer that is no success, or a service that has ended, is no fault of the page
    assert [each for each in wrong if not each.startswith("Failed to load resource")] == []
