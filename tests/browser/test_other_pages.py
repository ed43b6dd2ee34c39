"""A server, quality and pipeline as people see them, held against the tables."""

from collections.abc import Callable
from datetime import timedelta
from math import floor
from pathlib import Path

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from drawn_fleet import HOSTILE
from flat_cases import FOREST
from looking import LAST
from playwright.sync_api import Page, expect
from test_fleet_page import IN_SIGHT, of_server

from serverload.store.forecast_reasons import forecast_reasons
from serverload.store.quality import quality
from serverload.store.table_reader import forecasts

Look = Callable[..., Page]
SERVER = "10.0.0.2"
SAME_AS_ISSUED = """
    select avg((actual_class = case when load <= 100 then 'low' when load <= 500 then 'medium' else 'high' end)::int)
    from (
        select actual_class, coalesce(peak_load, 0) as load
        from outcomes left join hours on hours.server_ip = outcomes.server_ip and hours.hour = outcomes.issued_hour
    )
"""


def column(page: Page, table: str, place: int) -> list[str]:
    """Texts of a column of the table whose caption begins so, also of one that is folded away."""
    rows = page.locator(f"[role=region][aria-label^='{table}'] tbody tr")
    rows.first.wait_for(state="attached")
    return rows.evaluate_all("(rows, place) => rows.map(row => row.children[place].textContent)", place)


def test_from_the_fleet_to_a_server_to_the_reasons_of_an_hour(look: Look, home: Path) -> None:
    page = look(f"fleet?q={SERVER}&sort=name")
    row = page.locator(IN_SIGHT, has=page.get_by_role("link", name=SERVER, exact=True))
    row.locator(".c").nth(48 + 5).click()
    page.wait_for_url("**/dashboard/server?**")
    expect(page.get_by_role("heading", name=SERVER)).to_be_visible()

    at = LAST + timedelta(hours=6)
    issued = forecasts(str(home), server=SERVER, at=at)
    rows = forecast_reasons(str(home), issued, lambda _: FOREST, retire_after_hours=168, top=8)
    told = pl.DataFrame(pl.from_arrow(rows))
    said = issued.to_pylist()[0]["workload_class"]
    expect(page.get_by_role("heading", name="Why")).to_contain_text(f"{at:%H:%M} is said to be {said}")
    features = page.get_by_role("region", name="Reasons").locator(".mono")
    expect(features).to_have_text(told["feature"].to_list())
    added = [f"{'−' if each < 0 else '+'}{floor(abs(1000 * each) + 0.5) / 10:.1f}" for each in told["contribution"]]
    assert column(page, "Reasons", 2) == added
    assert column(page, "Reasons", 4)[-1] == f"{floor(1000 * told['probability'][0] + 0.5) / 10:.1f} %"


def test_the_hours_ahead_and_what_was_said_of_one_of_them(look: Look, home: Path) -> None:
    page = look(f"server?server={SERVER}")
    issued = forecasts(str(home), server=SERVER).to_pylist()
    assert column(page, "Forecasts of the coming hours", 1) == [row["workload_class"] for row in issued]
    assert column(page, "Forecasts of the coming hours", 3) == [
        f"{round(100 * row['probability_high'])} %" for row in issued
    ]
    assert page.locator(".ahead g").count() == len(issued)

    page.get_by_role("region", name="Forecasts of the coming hours").get_by_role("button").nth(3).click()
    hour = issued[3]["target_hour"]
    every = (
        of_server(home, "forecasts", SERVER).filter(pl.col("target_hour") == hour).sort("issued_hour", descending=True)
    )
    expect(page.get_by_role("heading", name=f"What was said of {hour:%a} {hour.day} {hour:%b %H:%M}")).to_be_visible()
    expect(page.get_by_text(f"{every.height} forecasts, 0 of them")).to_be_visible()
    assert column(page, "Forecasts issued for this hour", 1) == [f"{each} h" for each in every["horizon_hours"]]
    assert f"hour={hour:%Y-%m-%dT%H}" in page.url
    page.reload()
    expect(page.get_by_role("button", pressed=True).last).to_contain_text(f"{hour:%H:%M}")


def test_hits_and_misses_are_the_outcomes_and_a_gap_is_a_gap(look: Look, home: Path) -> None:
    page = look(f"server?server={SERVER}&ahead=6&hours=48")
    matured = of_server(home, "forecast_outcomes", SERVER).filter(
        (pl.col("horizon_hours") == 6) & (pl.col("target_hour") > LAST - timedelta(hours=48))
    )
    right = matured["correct"].sum()
    expect(page.get_by_text(f"6 h ahead: {right} of {matured.height} hours right")).to_be_visible()
    assert page.locator(".marks .hit").count() == right
    assert page.locator(".marks .miss").count() == matured.height - right
    assert page.locator(".gaps rect").count() == 3
    assert page.locator("path.came").get_attribute("d").count("M") == 2
    assert column(page, "Past hours", 1).count("missing") == 3


def test_quality_beside_naive_forecasts(look: Look, home: Path) -> None:
    page = look("quality?by=group&days=7")
    scores = quality(str(home), days=7, by="group").to_pylist()
    assert column(page, "Scores", 0) == [row["group"] for row in scores]
    assert column(page, "Scores", 2) == [f"{100 * row['accuracy']:.1f} %" for row in scores]
    outcomes = DeltaTable(f"{home}/tables/forecast_outcomes").to_pyarrow_table()
    hours = DeltaTable(f"{home}/tables/hourly_load").to_pyarrow_table()
    with duckdb.connect() as connection:
        connection.register("outcomes", outcomes)
        connection.register("hours", hours)
        right = connection.sql(SAME_AS_ISSUED).fetchall()[0][0]
        cells = connection.sql("select actual_class, workload_class, count(*) from outcomes group by all").fetchall()
    page.get_by_role("combobox", name="By", exact=True).select_option("model")
    expect(page.get_by_role("heading", name="Beside naive forecasts")).to_contain_text("by model version")
    assert column(page, "Scores", 3)[0].startswith(f"{100 * right:.1f} %")
    table = page.get_by_role("region", name="Confusion")
    for actual, said, count in cells:
        place = ["low", "medium", "high"].index(said) + 1
        row = table.locator("tbody tr", has=page.get_by_role("rowheader", name=actual))
        expect(row.locator("td").nth(place - 1)).to_contain_text(f"{count:,} ")
    bins = page.locator("figure", has_text="high").locator("circle.bin.high")
    assert bins.count() >= 5
    assert sum(int(each.replace(",", "")) for each in column(page, "Calibration", 3)) == 3 * outcomes.num_rows


def test_the_pipeline_with_what_was_refused_as_it_came(look: Look, home: Path) -> None:
    page = look("pipeline")
    tiles = page.locator(".tile")
    expect(tiles.get_by_text("3,003 read, 33 refused, 0 skipped")).to_be_visible()
    expect(page.get_by_text("no broker at kafka:9092").first).to_be_visible()
    assert column(page, "Refused lines by reason", 0) == ["total_load", "columns"]
    assert column(page, "Refused lines by reason", 1) == ["24", "9"]
    assert column(page, "Batches", 3) == ["1,002", "1,001", "1,000"]
    page.get_by_text("1 examples").first.click()
    expect(page.locator("pre").first).to_have_text(f"2016-06-01,{HOSTILE}")
    expect(page.get_by_text("Version 3 of serverload-forecast answers.")).to_be_visible()
    assert column(page, "Model versions", 1) == ["champion"]
    assert page.evaluate("window.hit") is None


def test_a_hostile_name_is_text_on_its_own_page(look: Look) -> None:
    page = look("fleet?q=onerror")
    page.get_by_role("link", name=HOSTILE, exact=True).click()
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    expect(page.get_by_role("heading", name="Why")).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert page.title() == f"{HOSTILE} - serverload"


@pytest.mark.parametrize("path", ["server?server=nobody", "server?server=a%2Fb"])
def test_a_server_that_is_not_there_is_told(look: Look, path: str) -> None:
    expect(look(path).get_by_role("alert")).not_to_be_empty()
