"""What the dashboard is made of and from: its files, and the addresses that it asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_cases import CHANCES, asked, drawn_home, place
from starlette.testclient import TestClient
from table_cases import forecast, hours, outcome, put

from serving.routes.pages import POLICY


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    drawn_home(folder)
    return folder


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    with asked(home) as client:
        yield client


def test_pages_let_in_nothing_from_elsewhere(client: TestClient) -> None:
    assert client.get("/", follow_redirects=False).headers["location"] == "/dashboard/fleet"
    for path in (
        "fleet",
        "server",
        "plan",
        "quality",
        "pipeline",
        "files/main.js",
        "files/style/base.css",
        "library/d3.js",
    ):
        for answer in (client.get(f"/dashboard/{path}"), client.head(f"/dashboard/{path}")):
            assert (answer.status_code, answer.headers["content-security-policy"]) == (200, POLICY), path
            assert answer.headers["x-content-type-options"] == "nosniff"
    assert "'unsafe" not in POLICY
    assert "https://d3js.org" in client.get("/dashboard/library/d3.js").text[:200]
    for path in ("other", "files/../app.py", "files/%2e%2e/app.py", "files/none.js"):
        assert client.get(f"/dashboard/{path}").status_code == 404, path


def test_the_fleet_in_columns(client: TestClient) -> None:
    told = client.get("/fleet", params={"past": 6}).json()
    assert (told["servers"], told["groups"]) == (["10.0.0.1", "10.0.0.2"], ["7", ""])
    assert told["first_hour"] == "2016-06-10T08:00:00Z"
    assert told["issued_hour"] == "2016-06-10T13:00:00Z"
    # one is low up to a load of 100, medium above; two has begun three hours before noon
    assert told["past"] == ["lil-lm", ".li-ll"]
    assert told["coming"] == ["lll" + "-" * 45, "lhl" + "-" * 45]
    assert told["said_percent"][0][:4] == [50, 50, 50, None]
    assert told["said_percent"][1][:3] == [50, 20, 50]
    assert told["high_percent"][0][:4] == [20, 20, 20, None]
    assert (told["high_hours"], told["expected_high_hours"]) == ([0, 1], [0.6, 0.6])


def test_the_fleet_is_told_once_and_packed(client: TestClient) -> None:
    first = client.get("/fleet")
    assert first.headers["content-encoding"] == "gzip"
    plain = client.get("/fleet", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == first.json()
    again = client.get("/fleet", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/fleet?past=3", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_hits_and_misses_of_a_server_are_of_the_newest_revision(tmp_path: Path) -> None:
    drawn_home(tmp_path)
    put(tmp_path, "forecast_outcomes", outcome("10.0.0.1", 0, 1, "high", "low", revision=1))
    put(tmp_path, "forecast_outcomes", outcome("10.0.0.1", -1, 2, "low", "low"))
    with asked(tmp_path) as client:
        (row,) = client.get("/servers/10.0.0.1/outcomes", params={"horizon": 1}).json()["outcomes"]
        assert (row["revision"], row["workload_class"], row["correct"]) == (1, "high", False)
        assert client.get("/servers/x/outcomes").status_code == 404


def test_reasons_are_those_of_the_version_that_issued(tmp_path: Path) -> None:
    drawn_home(tmp_path)
    put(tmp_path, "forecasts", forecast("10.0.0.1", 2, 5, **CHANCES | {"basis": "climatology"}))
    put(tmp_path, "forecasts", forecast("10.0.0.1", 2, 6, **CHANCES | {"model_version": "2"}))
    with asked(tmp_path) as client:

        def told(hour: int) -> tuple[int, str]:
            answer = client.get("/servers/10.0.0.1/reasons", params={"hour": f"{hours(hour):%Y-%m-%dT%H:%M}"})
            return answer.status_code, answer.json().get("detail", answer.json().get("reasons"))

        code, terms = told(3)
        assert code == 200
        answer = client.get("/servers/10.0.0.1/reasons", params={"hour": "2016-06-10T15:00"}).json()
        assert sum(term["contribution"] for term in terms) == pytest.approx(answer["forecast"][0]["probability"])
        assert terms[0] | {"contribution": 0} == {
            "feature": "base", "meaning": "what the forest says of an hour that it knows nothing of", "value": None,
            "contribution": 0,
        }  # fmt: skip
        assert told(7)[1].startswith("reasons: no forecast there rests on the model")
        assert told(8)[1].startswith("version 2, which issued it, is not held here")
        assert told(9)[1].startswith("there is no forecast of this server for 2016-06-10T21:00Z")
        place(tmp_path / "shared", "4")
        client.app.state.service.champion.look()  # type: ignore[attr-defined]
        assert told(3)[0] == 200
        place(tmp_path / "shared", "5")
        client.app.state.service.champion.look()  # type: ignore[attr-defined]
        assert told(3)[0] == 404


def test_quality_beside_naive_forecasts_bins_and_classes(client: TestClient) -> None:
    (row,) = client.get("/quality/naive", params={"days": 1}).json()["naive"]
    # both targets are at 13:00: 101 and 20 came; the issued hour had 100 and 20, a week before there was nothing
    assert (row["matured"], row["accuracy"], row["rps"]) == (2, 0.5, 0.3)
    assert (row["persistence_accuracy"], row["persistence_rps"]) == (0.5, 0.5)
    assert (row["last_week_accuracy"], row["last_week_rps"]) == (0.5, 0.5)
    cells = client.get("/quality/confusion").json()["confusion"]
    assert cells == [
        {"actual_class": "low", "workload_class": "low", "forecasts": 1},
        {"actual_class": "high", "workload_class": "low", "forecasts": 1},
    ]
    bins = client.get("/quality/calibration").json()["calibration"]
    assert [(each["workload_class"], each["bin"], each["rows"], each["share_that_came"]) for each in bins] == [
        ("low", 7, 2, 0.5), ("medium", 4, 2, 0.0), ("high", 3, 2, 0.5),
    ]  # fmt: skip
    assert [each["mean_probability"] for each in bins] == pytest.approx([0.5, 0.3, 0.2])


def test_the_pipeline_and_what_was_refused(tmp_path: Path) -> None:
    batch = {"source": "live", "checkpoint_id": "c", "read": 9, "accepted": 5, "rejected": 4, "skipped": 0}
    for number, reasons in enumerate(([("columns", 4)], [("columns", 1), ("header", 3)])):
        when = {"batch_time": hours(number), "committed_at": hours(number + 0.001)}
        put(tmp_path, "ingest_log", batch | when | {"batch_id": number, "rejected_by_reason": reasons})
    line = {"source": "live", "batch_id": 1, "rejected_at": hours(1), "reason": "columns"}
    for number, text in enumerate(("x" * 600, "second", "third")):
        put(tmp_path, "rejects", line | {"line": text, "origin": f"t/0/{number}"})
    put(tmp_path, "stream_log", {"event_at": hours(1), "checkpoint_id": "c", "event": "registry_away", "detail": "no"})
    with asked(tmp_path) as client:
        told = client.get("/pipeline", params={"batches": 1}).json()
        refused = client.get("/rejects", params={"examples": 2}).json()
    assert told["lines"]["live"] == {"read": 18, "accepted": 10, "rejected": 8, "skipped": 0}
    assert [(each["batch_id"], each["seconds"]) for each in told["batches"]] == [(1, pytest.approx(3.6))]
    assert told["troubles"] == {"registry": "2016-06-10 13:00:00Z no"}
    assert [(each["reason"], each["lines"]) for each in refused["rejects"]] == [("columns", 5), ("header", 3)]
    assert [each["line"] for each in refused["rejects"][0]["examples"]] == ["x" * 500, "second"]
    assert refused["rejects"][1]["examples"] == []


def test_a_home_without_tables_gives_empty_pages(tmp_path: Path) -> None:
    with asked(tmp_path) as client:
        assert client.get("/fleet").json()["servers"] == []
        assert client.get("/pipeline").json()["batches"] == []
        assert client.get("/rejects").json() == {"read": 0, "rejects": []}
        for name in ("naive", "confusion", "calibration"):
            assert client.get(f"/quality/{name}").json() == {name: []}
