"""Forecasts, servers, models and quality asked by HTTP, held against the tables that were drawn."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from serve_cases import CHANCES, asked, drawn_home
from starlette.testclient import TestClient
from table_cases import forecast, hours, put

from serverload.store.table_reader import forecasts


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    drawn_home(folder)
    (folder / "groups.csv").write_text("server,group\n10.0.0.1,web\n10.9.9.9,none\n")
    return folder


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    with asked(home, groups_file=str(home / "groups.csv")) as client:
        yield client


def rows(client: TestClient, **query: object) -> list[tuple[object, ...]]:
    """Server's last digit, hour issued and target hour after noon, revision."""
    answer = client.get("/forecasts", params=query)
    assert answer.status_code == 200, answer.text
    return [
        (int(row["server_ip"][-1]), after(row["issued_hour"]), after(row["target_hour"]), row["revision"])
        for row in answer.json()["forecasts"]
    ]


def after(told: str) -> int:
    return int((datetime.fromisoformat(told) - hours(0)).total_seconds()) // 3600


def test_the_coming_hours_are_those_of_the_command(client: TestClient, home: Path) -> None:
    answer = client.get("/forecasts", params={"format": "arrow"})
    table = pa.ipc.open_stream(answer.content).read_all()
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert table.to_pylist() == forecasts(str(home)).select(table.column_names).to_pylist()
    assert rows(client) == [(1, 1, 2, 0), (1, 1, 3, 0), (1, 1, 4, 0), (2, 1, 2, 0), (2, 1, 3, 1), (2, 1, 4, 0)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"server": "10.0.0.2", "to": "2016-06-10T15:00"}, [(2, 1, 2, 0), (2, 1, 3, 1)]),
        ({"from": "2016-06-10T13:59", "to": "2016-06-10T13:00Z"}, [(1, 0, 1, 0), (2, 0, 1, 0)]),
        ({"server": ["10.0.0.1", "10.0.0.2", "x"], "from": "2016-06-10T16:00"}, [(1, 1, 4, 0), (2, 1, 4, 0)]),
        ({"server": "10.0.0.2", "from": "2016-06-10T15:00", "to": "2016-06-10T15:00", "revisions": "all"},
         [(2, 0, 3, 0), (2, 1, 3, 0), (2, 1, 3, 1)]),
        ({"server": "10.0.0.2", "as_of": "2016-06-10T15:00"}, [(2, 1, 2, 0), (2, 1, 3, 0), (2, 1, 4, 0)]),
        ({"server": "10.0.0.1", "as_of": "2016-06-10T13:30"}, [(1, 0, 1, 0), (1, 0, 2, 0), (1, 0, 3, 0)]),
        ({"as_of": "2016-06-10T12:00"}, []),
        ({"server": "10.0.0.2' or '1'='1"}, []),
        ({"from": "2017-01-01", "to": "2017-01-02"}, []),
    ],
)  # fmt: skip
def test_a_range_a_server_a_time_and_all_revisions(
    client: TestClient, query: dict[str, str], found: list[tuple[int, ...]]
) -> None:
    assert rows(client, **query) == found


def test_a_commit_is_seen_by_the_next_request_and_only_its_files_are_read(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", *(forecast("10.0.0.1", 0, ahead, **CHANCES) for ahead in (1, 2)))
    with asked(tmp_path) as client:
        assert rows(client) == [(1, 0, 1, 0), (1, 0, 2, 0)]
        for file in tmp_path.glob("tables/forecasts/*/*.parquet"):
            file.unlink()
        put(tmp_path, "forecasts", forecast("10.0.0.1", 0, 2, **CHANCES | {"revision": 1}))
        assert rows(client) == [(1, 0, 1, 0), (1, 0, 2, 1)]


def test_a_table_made_anew_is_read_anew(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", forecast("10.0.0.1", 0, 1, **CHANCES))
    with asked(tmp_path) as client:
        assert rows(client) == [(1, 0, 1, 0)]
        (tmp_path / "tables" / "forecasts").rename(tmp_path / "away")
        assert rows(client) == []
        put(tmp_path, "forecasts", forecast("10.0.0.2", 0, 1, **CHANCES))
        assert rows(client) == [(2, 0, 1, 0)]


@pytest.mark.parametrize(
    ("accept", "content_type", "first"),
    [
        ("text/csv", "text/csv; charset=utf-8", b"server_ip,issued_hour"),
        ("text/html, application/json;q=0.8", "application/json", b'{"forecasts":[{'),
        ("application/vnd.apache.arrow.stream, */*;q=0.1", "application/vnd.apache.arrow.stream", b"\xff\xff\xff\xff"),
    ],
)
def test_the_accept_header_chooses_the_format(client: TestClient, accept: str, content_type: str, first: bytes) -> None:
    answer = client.get("/forecasts", headers={"Accept": accept})
    assert answer.headers["content-type"] == content_type
    assert answer.content.startswith(first)


def test_servers_are_grouped_by_the_users_file_or_by_type(client: TestClient, home: Path) -> None:
    def groups(**query: str) -> dict[str, list[str]]:
        told = client.get("/servers", params=query).json()["groups"]
        return {each["group"]: [row["server_ip"] for row in each["servers"]] for each in told}

    assert groups() == {"": ["10.0.0.2"], "web": ["10.0.0.1"]}
    assert groups(by="type") == {"": ["10.0.0.2"], "7": ["10.0.0.1"]}
    (home / "groups.csv").write_text("server,group\n10.0.0.2,mail\n")
    assert groups() == {"": ["10.0.0.1"], "mail": ["10.0.0.2"]}
    (home / "groups.csv").write_text("10.0.0.2,mail\n")
    assert client.get("/servers").json()["detail"] == "the file of groups cannot be read"
    (home / "groups.csv").write_text("server,group\n10.0.0.1,web\n")


def test_one_server_with_its_facts_hours_and_coming_forecasts(client: TestClient) -> None:
    told = client.get("/servers/10.0.0.1", params={"hours": 5}).json()

    facts = {name: entry for name, entry in told.items() if name not in ("hours", "forecasts")}
    assert facts == {
        "server_ip": "10.0.0.1", "server_type": 7, "group": "web",
        "first_hour": "2016-06-10T07:00:00Z", "last_event": "2016-06-10T13:54:00Z",
        "low_max": 100.0, "medium_max": 500.0,
    }  # fmt: skip
    assert [(after(row["hour"]), row["state"], row["peak_load"]) for row in told["hours"]] == [
        (-3, "idle", 0.0), (-2, "observed", 98.0), (-1, "missing", None), (0, "observed", 100.0),
        (1, "observed", 101.0),
    ]  # fmt: skip
    assert [after(row["target_hour"]) for row in told["forecasts"]] == [2, 3, 4]


def test_models_and_quality(client: TestClient) -> None:
    assert client.get("/models").json() == {
        "answering": {"name": "serverload-forecast", "version": "3"},
        "models": [{"version": "3", "aliases": "champion"}],
    }
    (row,) = client.get("/quality", params={"days": 1}).json()["quality"]
    assert (row["horizons"], row["matured"], row["accuracy"], row["rps"]) == ("1-6", 2, 0.5, 0.3)
    told = pl.read_csv(client.get("/quality", params={"by": "group", "format": "csv"}).content)
    assert told["matured"].to_list() == [1, 1]


def test_a_home_without_tables_gives_empty_answers(tmp_path: Path) -> None:
    with asked(tmp_path) as client:
        assert client.get("/forecasts").json() == {"forecasts": []}
        assert client.get("/servers").json() == {"groups": []}
        assert client.get("/quality").json() == {"quality": []}
        assert client.get("/servers/x").status_code == 404
        assert client.get("/readyz").json()["detail"] == "no forecasts yet"


def test_it_is_ready_while_forecasts_are_fresh_and_a_model_is_there(tmp_path: Path) -> None:
    put(tmp_path / "drawn", "forecasts", forecast("a", 0, 1, **CHANCES | {"issued_at": datetime.now(UTC)}))
    rows = DeltaTable(f"{tmp_path}/drawn/tables/forecasts").to_pyarrow_table()
    log = {"delta.dataSkippingStatsColumns": "issued_hour"}  # as the jobs make the table
    write_deltalake(f"{tmp_path}/tables/forecasts", rows, partition_by=["target_date"], configuration=log)
    with asked(tmp_path) as client:
        assert client.get("/readyz").json()["status"] == "ok"
        assert "serverload_newest_issued_at_seconds 1." in client.get("/metrics").text
    with asked(tmp_path, fresh_minutes=1e-9) as client:
        assert client.get("/readyz").json()["detail"] == "the newest forecasts were issued 0 minutes ago"
    (tmp_path / "shared" / "standing.json").unlink()
    with asked(tmp_path) as client:
        assert client.get("/readyz").json()["detail"] == "no model yet; the registry is not watched"
        assert client.post("/score", json={}).status_code == 503


def test_a_table_from_before_a_column_was_there_has_it_as_unknown(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", forecast("10.0.0.1", 0, 1, **CHANCES))
    older = DeltaTable(f"{tmp_path}/tables/forecasts").to_pyarrow_table().drop_columns(["basis"])
    write_deltalake(f"{tmp_path}/tables/forecasts", older, mode="overwrite", schema_mode="overwrite")
    with asked(tmp_path) as client:
        for revisions in ("newest", "all"):
            answer = client.get("/forecasts", params={"revisions": revisions, "from": "2016-06-10"})
            (row,) = answer.json()["forecasts"]
            assert (row["basis"], row["probability_low"]) == (None, 0.5)
