"""The fleet as people see it, held against the tables; by pointer, by keys, by address."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable
from drawn_fleet import HOSTILE, LOW_MAX, MEDIUM_MAX, Fleet, put_frame, thousand
from looking import IN_SIGHT, LAST, served
from playwright.sync_api import Page, expect

from serverload.contracts.classes import CLASSES
from serverload.store.table_reader import forecasts

Look = Callable[..., Page]
PAST, AHEAD = 48, 48


def names(page: Page) -> list[str]:
    """The servers in the document, from above."""
    page.wait_for_selector(IN_SIGHT)
    told = "rows => rows.map(row => [Number(row.getAttribute('aria-rowindex')), row.querySelector('a').textContent])"
    return [name for _, name in sorted(page.eval_on_selector_all(IN_SIGHT, told))]


def cells(page: Page, server: str) -> list[str]:
    """What the hours of a server say to a reader of screens."""
    row = page.locator(IN_SIGHT, has=page.get_by_role("link", name=server, exact=True))
    row.wait_for()
    told: list[str] = row.locator(".c").evaluate_all("cells => cells.map(cell => cell.getAttribute('aria-label'))")
    return [each.partition(": ")[2] for each in told]


def of_server(home: Path, name: str, server: str) -> pl.DataFrame:
    rows = DeltaTable(f"{home}/tables/{name}").to_pyarrow_table(filters=[("server_ip", "=", server)])
    return pl.DataFrame(pl.from_arrow(rows))


def came(home: Path, server: str) -> list[str]:
    known = dict(of_server(home, "hourly_load", server).select("hour", "peak_load").iter_rows())
    hours = [LAST - timedelta(hours=back) for back in range(PAST - 1, -1, -1)]
    told = []
    for place, hour in enumerate(hours):
        if hour in known:
            name = "low" if known[hour] <= LOW_MAX else "medium" if known[hour] <= MEDIUM_MAX else "high"
            told.append(f"{name}, load {np.round(known[hour], 1):,}".removesuffix(".0"))
        elif PAST - 27 <= place < PAST - 24:
            told.append("missing, the whole fleet is silent")
        else:
            told.append("idle, no sessions, load 0")
    return told


@cache
def issued(home: Path) -> list[dict[str, object]]:
    return forecasts(str(home)).to_pylist()


def coming(home: Path, server: str) -> list[str]:
    told = ["no forecast"] * AHEAD
    for row in (each for each in issued(home) if each["server_ip"] == server):
        said, percents = row["workload_class"], {name: round(100 * row[f"probability_{name}"]) for name in CLASSES}
        high = "" if said == "high" else f", high {percents['high']} %"
        told[(row["target_hour"] - LAST) // timedelta(hours=1) - 1] = f"forecast {said}, {percents[said]} %{high}"
    return told


@pytest.mark.parametrize("server", ["10.0.0.10", "10.0.0.2", HOSTILE])
def test_every_hour_of_a_server_is_what_the_tables_hold(look: Look, home: Path, server: str) -> None:
    page = look(f"fleet?sort=name&q={server[:9]}")
    shown = cells(page, server)
    assert shown[:PAST] == came(home, server)
    assert shown[PAST:] == coming(home, server)
    assert "missing, the whole fleet is silent" in shown
    for told in ("no forecast", "idle, no sessions, load 0"):
        assert (told in shown) is (server == "10.0.0.10")
    assert page.evaluate("window.hit") is None
    assert page.locator("main img").count() == 0


def test_hours_without_data_look_like_no_class(look: Look) -> None:
    page = look("fleet?sort=name&q=10.0.0.1")
    page.wait_for_selector(IN_SIGHT)

    def looks(kind: str) -> set[str]:
        told = "cells => cells.map(cell => getComputedStyle(cell).backgroundImage)"
        return set(page.eval_on_selector_all(f".grid .body .c.{kind}", told))

    seen = {kind: looks(kind) for kind in ("low", "medium", "missing")}
    assert all(len(each) == 1 for each in seen.values()), seen
    assert len(set.union(*seen.values())) == 3
    assert "repeating-linear-gradient" in next(iter(seen["missing"]))


def test_the_most_hours_of_high_ahead_come_first_and_the_address_keeps_what_is_asked(look: Look, home: Path) -> None:
    page = look("fleet")
    counted = {
        name: sum(told.startswith("forecast high") for told in coming(home, name))
        for name in DeltaTable(f"{home}/tables/servers").to_pyarrow_table()["server_ip"].to_pylist()
    }
    in_order = [counted[name] for name in names(page)]
    assert in_order == sorted(in_order, reverse=True)
    assert in_order[0] == max(counted.values()) > 0

    page.get_by_role("combobox", name="Show", exact=True).select_option("high")
    expect(page.locator("#summary b").first).to_have_text(str(sum(hours > 0 for hours in counted.values())))
    page.get_by_role("combobox", name="Group", exact=True).select_option("=2")
    page.get_by_role("combobox", name="Sort by", exact=True).select_option("name")
    wanted = sorted(name for place, name in enumerate(counted) if counted[name])
    wanted = [name for name in wanted if of_server(home, "servers", name)["server_type"][0] == 2]
    assert names(page) == wanted
    again = look(page.url.partition("/dashboard/")[2])
    assert names(again) == wanted
    assert again.get_by_role("combobox", name="Group", exact=True).input_value() == "=2"
    page.go_back()
    page.go_back()
    page.wait_for_function("!location.search.includes('group')")
    assert len(names(page)) > len(wanted)


def test_the_arrow_keys_reach_every_cell_and_enter_opens_it(look: Look) -> None:
    page = look("fleet?sort=name", viewport={"width": 900, "height": 560})
    grid = page.get_by_role("grid")
    page.wait_for_selector(IN_SIGHT)
    for _ in range(40):
        page.keyboard.press("Tab")
        if grid.evaluate("grid => grid === document.activeElement"):
            break

    def at() -> str:
        told: str = page.locator(f"#{grid.get_attribute('aria-activedescendant')}").get_attribute("aria-label") or ""
        return told

    assert grid.evaluate("grid => grid === document.activeElement")
    page.keyboard.press("Control+End")
    last = grid.get_attribute("aria-activedescendant")
    assert last == f"cell-{40 - 1}-{3 + PAST + AHEAD - 1}"
    assert page.locator(f"#{last}").is_visible()
    assert page.locator(IN_SIGHT).count() < 40
    page.keyboard.press("Control+Home")
    page.keyboard.press("End")
    for _ in range(AHEAD - 4):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    hour = LAST + timedelta(hours=4)
    assert at().startswith(f"{hour:%a} {hour.day} {hour:%b} {hour:%H:%M}:".replace("Sep", "Sept"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/server?**")
    assert f"hour={hour:%Y-%m-%dT%H}%3A00%3A00Z" in page.url


def test_a_new_hour_is_shown_without_asking(look: Look, tmp_path: Path) -> None:
    Fleet.drawn(["a", "b"], LAST).write(tmp_path, issues=1)
    with served(tmp_path) as url:
        page = look("fleet", url)
        assert names(page) == ["a", "b"] or names(page) == ["b", "a"]
        more = pl.DataFrame({"server_ip": ["c"], "first_hour": [LAST], "last_event": [LAST], "server_type": [1]})
        put_frame(tmp_path, "servers", more)
        expect(page.get_by_role("link", name="c", exact=True)).to_be_visible()
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_role("button", name="Paused")).to_be_visible()


def test_of_a_thousand_servers_only_those_in_sight_are_in_the_document(look: Look, tmp_path: Path) -> None:
    thousand(LAST).write(tmp_path, issues=1)
    with served(tmp_path) as url:
        page = look("fleet", url)
        page.wait_for_selector(IN_SIGHT)
        assert page.get_by_role("grid").get_attribute("aria-rowcount") == "1001"
        assert page.locator(f"{IN_SIGHT} .c").count() <= 60 * (PAST + AHEAD)
