"""What to do about the load to come, as people see it, held against what the commands say."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from drawn_fleet import Fleet
from looking import LAST, served
from playwright.sync_api import Page, expect
from test_other_pages import column

from serverload.contracts.settings import load_settings
from serverload.store.plan import PlanRules, plan
from serverload.store.plan_replay import replayed_plans

Look = Callable[..., Page]
LOADS = {"10.0.0.1": 0.12, "10.0.0.4": 0.09, "10.0.0.7": 0.15, "10.0.0.2": 900.0}
"""By type (a server's place): three quiet servers of one, a busy one of another."""
ORDER = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Servers that hardly change, and forecasts of so many hours that the first can be judged."""
    folder = tmp_path_factory.mktemp("quiet")
    last = LAST + timedelta(hours=1)  # advice from it stands for the whole hour that runs
    hours = [last - timedelta(hours=back) for back in range(239, -1, -1)]
    loads = np.repeat([[LOADS.get(name, 300.0)] for name in ORDER], len(hours), axis=1)
    Fleet(ORDER, hours, loads).write(folder, issues=60)
    return folder


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with served(home) as url:
        yield url


@pytest.fixture(scope="module")
def rules(home: Path) -> PlanRules:
    return PlanRules.of(load_settings(flags={"home": str(home)}))


def test_what_is_advised_and_why(look: Look, home: Path, address: str, rules: PlanRules) -> None:
    page = look("plan", address)
    rows = plan(str(home), rules).advice
    (merge,) = rows.filter(pl.col("advice") == "merge").to_dicts()
    merged = page.get_by_role("region", name="Merge")
    expect(merged.get_by_role("rowheader")).to_have_text(merge["server_ip"])
    expect(merged.get_by_role("link")).to_have_text([merge["server_ip"], *merge["merged_servers"].split(",")])
    assert {merge["server_ip"], *merge["merged_servers"].split(",")} == {"10.0.0.1", "10.0.0.4", "10.0.0.7"}
    assert column(page, "Merge", 4) == [f"{100 * merge['confidence']:.1f} %"]
    assert column(page, "Merge", 5) == [merge["reason"]]
    expect(page.locator(".title .summary")).to_contain_text("2 servers could be freed, 1 need more")
    assert column(page, "Give more", 0) == ["10.0.0.2"]
    windows = rows.filter(pl.col("advice") == "maintain")
    assert column(page, "Maintain", 0) == windows["server_ip"].to_list()
    assert column(page, "Maintain", 6) == windows["reason"].to_list()

    page.get_by_label("Find").fill("0.0.4")
    expect(page.get_by_role("region", name="Maintain").get_by_role("rowheader")).to_have_text("10.0.0.4")
    expect(merged).to_be_visible()  # it is one of those that are merged
    assert page.url.endswith("?q=0.0.4")
    page.get_by_role("region", name="Maintain").get_by_role("link").click()
    expect(page.get_by_role("heading", name="10.0.0.4")).to_be_visible()


def test_how_past_advice_has_held_is_told_where_it_is_asked_for(
    look: Look, home: Path, address: str, rules: PlanRules
) -> None:
    page = look("plan", address)
    page.get_by_text("How past advice has held").click()
    told = replayed_plans(str(home), rules, days=14, step_hours=24).to_pylist()
    assert column(page, "How past advice has held", 2) == [str(row["given"]) for row in told]
    assert column(page, "How past advice has held", 3) == [str(row["held"]) for row in told]
    page.reload()
    expect(page.get_by_role("region", name="How past advice has held")).to_be_visible()


def test_without_forecasts_there_is_no_advice(look: Look, tmp_path: Path) -> None:
    with served(tmp_path) as url:
        page = look("plan?replay=open", url)
        expect(page.locator(".title .summary")).to_have_text("No forecasts yet, and so no advice.")
        expect(page.get_by_text("No advice can be judged yet")).to_be_visible()
