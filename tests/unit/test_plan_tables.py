"""`plan` over drawn tables, asked by the command and by HTTP: the same advice, and none without ground for it."""

import json
from pathlib import Path

import polars as pl
import pytest
from serve_cases import asked, load
from table_cases import forecast, hours, put
from typer.testing import CliRunner

from serverload.cli import app

ISSUED = 0
SURE = {"probability_low": 1.0, "probability_medium": 0.0, "probability_high": 0.0, "basis": "model"}
HIGH = {"probability_low": 0.0, "probability_medium": 0.25, "probability_high": 0.75, "workload_class": "high"}
FRESH, STALE = hours(2), hours(3)
TYPES = {"a": 7, "b": 7, "c": 8, "busy": 8, "short": 7, "newcomer": 7}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three low servers, a busy one, one with an hour missing, one of which little is known; then 48 hours more."""
    folder = tmp_path_factory.mktemp("home")
    for name, kind in TYPES.items():
        put(folder, "servers", {"server_ip": name, "first_hour": hours(-400), "server_type": kind})
    loads = {"a": 60.0, "b": 50.0, "c": 40.0, "busy": 700.0, "short": 5.0}
    put(folder, "hourly_load", *(load(name, hour, peak) for name, peak in loads.items() for hour in range(-100, 60)))
    rows = [forecast(name, ISSUED, ahead, **SURE) for name in ("a", "b", "c") for ahead in range(1, 49)]
    rows += [forecast("busy", ISSUED, ahead, **SURE | HIGH) for ahead in range(1, 49)]
    rows += [forecast("short", ISSUED, ahead, **SURE) for ahead in range(2, 49)]
    rows += [forecast("newcomer", ISSUED, ahead, **SURE | {"basis": "climatology"}) for ahead in range(1, 49)]
    rows += [forecast("a", ISSUED, 49, **SURE)]
    # later news of hour 30: b will not be low
    rows += [forecast("b", ISSUED, 30, **SURE | HIGH | {"revision": 1, "issued_at": hours(2.25)})]
    put(folder, "forecasts", *rows)
    (folder / "groups.csv").write_text("server,group\na,web\nc,web\nbusy,mail\n")
    return folder


def command(home: Path, *arguments: str) -> tuple[list[dict[str, object]], str]:
    """Rows and what is said beside them."""
    done = CliRunner().invoke(app, ["plan", "--home", str(home), "--format", "json", *arguments])
    assert done.exception is None, done.output
    return json.loads(done.stdout), done.stderr


def short(rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [(row["advice"], row["server_ip"], row["merged_servers"], row["confidence"]) for row in rows]


def test_advice_as_it_stood_before_the_news(home: Path) -> None:
    rows, said = command(home, "--as-of", f"{FRESH:%FT%T}")

    assert short(rows) == [
        ("merge", "a", "b", 1.0), ("add", "busy", None, 0.75),
        ("maintain", "a", None, 1.0), ("maintain", "b", None, 1.0), ("maintain", "busy", None, 1.0),
        ("maintain", "c", None, 1.0),
    ]  # fmt: skip
    merge = rows[0]
    assert (merge["server_group"], merge["expected_load"], merge["model_version"]) == ("7", 110.0, "3")
    assert (merge["first_hour"], merge["last_hour"]) == ("2016-06-10T13:00:00Z", "2016-06-12T12:00:00Z")
    assert (merge["issued_hour"], merge["expires_at"]) == ("2016-06-10T12:00:00Z", "2016-06-10T14:45:00Z")
    assert said.splitlines() == [
        "from the forecasts of 2016-06-10 12:00Z; stands until a newer hour is issued, and until 2016-06-10 14:45Z "
        "at most",
        "no advice on 1 servers (newcomer): not all of its forecasts rest on the model, but on climatology",
        "no advice on 1 servers (short): 1 of the next 48 hours have no forecast",
    ]


def test_news_counts_from_when_it_was_written(home: Path) -> None:
    rows, _said = command(home, "--as-of", f"{STALE:%FT%T}")
    assert [row for row in short(rows) if row[0] != "maintain"] == [
        ("add", "b", None, 0.75),
        ("add", "busy", None, 0.75),
    ]


def test_the_groups_of_a_file_take_the_place_of_types(home: Path) -> None:
    groups = ("--groups-file", str(home / "groups.csv"), "--as-of", f"{FRESH:%FT%T}")
    assert short(command(home, *groups)[0])[0] == ("merge", "a", "c", 1.0)
    assert short(command(home, *groups, "--by", "type")[0])[0] == ("merge", "a", "b", 1.0)


def test_stale_forecasts_give_no_advice(home: Path) -> None:
    rows, said = command(home)
    assert rows == []
    assert said == (
        "no advice on 6 servers (a, b, busy ..): its forecasts are stale: advice from them has expired at "
        "2016-06-10 15:45Z\n"
    )


def test_http_tells_what_the_command_tells(home: Path) -> None:
    asked_for = f"{FRESH:%FT%T}"
    with asked(home, groups_file=str(home / "groups.csv")) as client:
        for by in ("type", "file"):
            answer = client.get("/plan", params={"as_of": asked_for, "by": by}).json()
            groups = ("--groups-file", str(home / "groups.csv"), "--by", by)
            assert answer["plan"] == command(home, "--as-of", asked_for, *groups)[0]
            assert len(answer["plan"]) >= 5
        assert (answer["issued_hour"], answer["expires_at"]) == ("2016-06-10T12:00:00Z", "2016-06-10T14:45:00Z")
        assert [row["server_ip"] for row in answer["left_out"]] == ["newcomer", "short"]
        told = pl.read_csv(client.get("/plan", params={"as_of": asked_for, "by": "type", "format": "csv"}).content)
        assert told["merged_servers"].to_list()[0] == "b"
        stale = client.get("/plan").json()
        assert (stale["plan"], len(stale["left_out"])) == ([], 6)
        assert client.get("/plan", params={"by": "kind"}).status_code == 422


def test_without_a_file_of_groups_there_are_none_to_go_by_and_without_tables_there_is_no_plan(
    home: Path, tmp_path: Path
) -> None:
    with asked(tmp_path) as client:
        assert client.get("/plan").json() == {"issued_hour": None, "expires_at": None, "plan": [], "left_out": []}
        assert client.get("/plan", params={"by": "file"}).json()["errors"][0]["path"] == "by"
        assert client.get("/plan/replay").json() == {"replay": []}
    done = CliRunner().invoke(app, ["plan", "--home", str(home), "--by", "file"])
    assert "no file of groups is set" in str(done.exception)


def test_a_replay_judges_what_was_issued_first_by_what_came(tmp_path: Path) -> None:
    for name in ("a", "b", "busy"):
        put(tmp_path, "servers", {"server_ip": name, "first_hour": hours(-400), "server_type": 7})
    came = {"a": 60.0, "b": 50.0, "busy": 700.0}
    other = {("b", 1): 90.0, ("b", 70): 460.0}
    other |= {("a", hour): 20.0 for hour in range(-100, 80) if hours(hour).hour >= 20}
    rows = [load(name, hour, other.get((name, hour), peak)) for name, peak in came.items() for hour in range(-100, 80)]
    put(tmp_path, "hourly_load", *rows)
    for issued in (0, 12, 24, 48, 72):
        chances = {"a": SURE, "b": SURE, "busy": SURE | HIGH}
        put(tmp_path, "forecasts", *(forecast(name, issued, ahead, **chances[name])
                                     for name in came for ahead in range(1, 49)))  # fmt: skip
    put(tmp_path, "forecasts", *(forecast("b", 0, ahead, **SURE | HIGH | {"revision": 1}) for ahead in range(1, 49)))

    told, _said = command(tmp_path, "--replay", "--days", "7")

    # hours 0 and 24 are judged, a day apart; 460 + 60 at hour 70 is within reach of the second alone; nobody knew at
    # hour 0 of the 90 at hour 1, and so the windows have 20 + 60 + 700 and 20 + 50 + 700
    assert [[row[name] for name in ("advice", "issued_hours", "given", "held", "achieved")] for row in told] == [
        ["merge", 2, 2, 1, 1.0], ["add", 2, 2, 2, 2.0], ["maintain", 2, 6, 6, pytest.approx(1550 / 6)],
    ]  # fmt: skip
    assert [row["all_knowing"] for row in told] == [1.0, 2.0, pytest.approx(1540 / 6)]
    half_days, _said = command(tmp_path, "--replay", "--step-hours", "12")
    assert half_days[0]["issued_hours"] == 3
    with asked(tmp_path) as client:
        assert client.get("/plan/replay", params={"days": 7}).json()["replay"] == told


def test_nothing_can_be_judged_before_two_days_have_passed(home: Path) -> None:
    done = CliRunner().invoke(app, ["plan", "--home", str(home), "--replay"])
    assert "no advice can be judged yet" in str(done.exception)
