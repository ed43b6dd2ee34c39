"""`POST /score` on two trees that can be followed on paper: what it takes, what it says, and of whom."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import polars as pl
import pytest
from flat_cases import FOREST
from serve_cases import asked
from starlette.testclient import TestClient

from serverload.contracts.feature_columns import FEATURES
from serverload.contracts.instants import hour_number
from serverload.steps.features import feature_rows, forecast_pairs
from serverload.steps.hours import FleetHours, server_hours

FIRST = "2016-06-01T00:00:00Z"
START = hour_number(datetime.fromisoformat(FIRST))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with asked(tmp_path_factory.mktemp("home")) as client:
        yield client


def history(server: str, loads: list[float | None], **more: object) -> dict[str, object]:
    return {"server": server, "first_hour": FIRST, "peak_load": loads, **more}


def score(client: TestClient, **body: object) -> dict[str, object]:
    answer = client.post("/score", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def features(client: TestClient, loads: list[float | None], *, silent: tuple[int, ...] = ()) -> pl.DataFrame:
    """The features of a history, by the one definition: null is idle unless all were silent."""
    import numpy as np

    known = np.array(loads, dtype=np.float64)
    observed = np.flatnonzero(~np.isnan(known))
    fleet = FleetHours.of(START + np.array([hour for hour in range(len(loads)) if hour not in silent]))
    server = server_hours(
        START + observed, np.vstack([known[observed], *[np.full(len(observed), np.nan)] * 7]), first_hour=START,
        grid_start=START, last_hour=START + len(loads) - 1, fleet=fleet, retire_after_hours=168,
    )  # fmt: skip
    return feature_rows(server, *forecast_pairs([server.last_hour], [1, 48]))


LOADS: list[float | None] = [25.0 + hour % 24 if hour % 5 else None for hour in range(24 * 9)]
BUSY: list[float | None] = [None if load is None else load + 30 for load in LOADS]
SILENT = (100, 101, 215)


def test_a_history_is_scored_by_the_one_definition_of_features(client: TestClient) -> None:
    hours = [f"{datetime.fromisoformat(FIRST) + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in SILENT]
    told = score(client, servers=[history("a", LOADS)], horizons=[48, 1, 1], silent_hours=hours)

    expected = FOREST.probabilities(features(client, LOADS, silent=SILENT))
    rows = told["forecasts"]
    assert [[row[f"probability_{name}"] for name in ("low", "medium", "high")] for row in rows] == expected.tolist()
    assert [(row["issued_hour"], row["horizon_hours"], row["target_hour"], row["basis"]) for row in rows] == [
        ("2016-06-09T23:00:00Z", 1, "2016-06-10T00:00:00Z", "model"),
        ("2016-06-09T23:00:00Z", 48, "2016-06-11T23:00:00Z", "model"),
    ]
    assert (told["model_name"], told["model_version"]) == ("serverload-forecast", "3")


def test_ready_features_give_what_their_history_gives(client: TestClient) -> None:
    names = [feature.name for feature in FEATURES]
    rows = features(client, LOADS).select(names).to_dicts()
    bare = [{name: each for name, each in row.items() if not name.startswith("missing_")} for row in rows]

    from_history = score(client, servers=[history("a", LOADS, server_type=7)], horizons=[1, 48])["forecasts"]
    for given in (rows, bare):
        found = score(client, features=[row | {"server": "a", "server_type": 7} for row in given])["forecasts"]
        assert [row | {"issued_hour": 0, "target_hour": 0} for row in found] == [
            row | {"issued_hour": 0, "target_hour": 0} for row in from_history
        ]
    wrong = client.post("/score", json={"features": [rows[0], rows[1] | {"missing_usual_load": True}]}).json()
    assert wrong["errors"][0]["path"] == "features/1/missing_usual_load"


def test_a_server_gone_for_a_week_gets_no_forecast_and_one_of_few_hours_none_of_the_models(client: TestClient) -> None:
    gone: list[float | None] = [20.0] + [None] * 200
    young = {"server": "young", "first_hour": "2016-06-09T00:00:00Z", "peak_load": [20.0] * 9}
    told = score(client, servers=[history("gone", gone), young, history("silent", [None])], horizons=[2])

    assert told["without_forecast"] == ["gone", "silent"]
    (row,) = told["forecasts"]
    assert (row["server_ip"], row["basis"], row["workload_class"], row["probability_low"]) == (
        "young",
        "none",
        None,
        None,
    )
    assert row["prediction_set"] is None
    assert score(client, servers=[history("gone", gone)], horizons=[2])["forecasts"] == []


def test_sets_follow_the_servers_group(client: TestClient) -> None:
    told = score(client, servers=[history("a", BUSY), history("b", BUSY, server_type=7)], horizons=[1])["forecasts"]

    assert [row["probability_low"] for row in told] == [0.1875] * 2
    # 0.1875, 0.4375, 0.375 against 0.3 each, and against 0.1 each
    assert [row["prediction_set"] for row in told] == ["medium,high", "low,medium,high"]


def test_reasons_add_up_to_the_probability_and_the_leading_come_first(client: TestClient) -> None:
    (row,) = score(client, servers=[history("a", BUSY)], horizons=[1], reasons=1)["forecasts"]

    assert [each["feature"] for each in row["reasons"]] == ["base", "month", "other features"]
    total = sum(each["contribution"] for each in row["reasons"])
    assert total == pytest.approx(row[f"probability_{row['workload_class']}"], abs=1e-12)
    assert "reasons" not in score(client, servers=[history("a", LOADS)], horizons=[1])["forecasts"][0]


def test_the_horizons_of_the_settings_are_the_usual_ones(client: TestClient) -> None:
    told = score(client, servers=[history("a", LOADS)])["forecasts"]

    assert [row["horizon_hours"] for row in told] == list(range(1, 49))


def test_hours_long_past_are_never_laid_out(client: TestClient) -> None:
    ancient = {"server": "a", "first_hour": "1970-01-01T00:00:00Z", "peak_load": [1.0]}
    late = {"server": "b", "first_hour": "2099-12-31T00:00:00Z", "peak_load": [1.0] * 24}

    told = score(client, servers=[ancient, late], horizons=[168])

    assert told["without_forecast"] == ["a"]
    assert told["forecasts"][0]["target_hour"] == "2100-01-07T23:00:00Z"


def test_an_hour_without_sessions_is_known_unless_all_were_silent(client: TestClient) -> None:
    loads = [20.0] * 20 + [None] * 4 + [20.0] * 3
    silent = [f"2016-06-01T{hour}:00:00Z" for hour in (20, 21, 22, 23)]

    bases = [
        score(client, servers=[history("a", loads)], horizons=[1], silent_hours=hours)["forecasts"][0]["basis"]
        for hours in ([], silent)
    ]

    # 27 and 23 hours of the 24 that the model wants
    assert bases == ["model", "none"]
