"""`import serverload`: rows of a home in every shape, features, and a client of a service that really listens."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from serve_cases import drawn_home, place, running
from table_cases import hours

import serverload
from serverload.contracts.errors import InputError, ServiceError
from serverload.contracts.settings import load_settings
from serverload.store.table_reader import forecasts
from serving.app import make_app
from serving.keys import make_key

AS_OF = hours(3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    drawn_home(folder)
    return folder


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """A service that asks for keys, on a port of its own."""
    make_key(home / "keys.json", "reader", ["read"])
    place(home / "shared")
    settings = load_settings(
        flags={"home": str(home), "serve": {"keys_file": str(home / "keys.json"), "requests_per_minute": 0}}
    )
    with running(make_app(settings, home / "shared")) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str, home: Path) -> Iterator[serverload.ForecastClient]:
    key = make_key(home / "keys.json", "all", ["read", "score"])
    with serverload.ForecastClient(url, key) as client:
        yield client


def test_forecasts_come_in_every_shape_as_the_command_has_them(home: Path) -> None:
    rows = serverload.load_forecasts(home)

    assert rows.to_arrow() == forecasts(str(home))
    assert rows.to_polars()["server_ip"].to_list() == ["10.0.0.1"] * 3 + ["10.0.0.2"] * 3
    assert rows.to_pandas()["target_hour"][0] == pd.Timestamp(hours(2))
    assert repr(rows).startswith("Rows(6 rows: server_ip, issued_hour")
    assert len(serverload.load_forecasts(str(home), server="10.0.0.1", at=hours(2.5))) == 1
    with pytest.raises(InputError, match=r"no forecasts for server x; it is not in table servers"):
        serverload.load_forecasts(home, server="x")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, [-5, -4, -2, 0, 1]),
        ({"start": hours(-4)}, [-4, -2, 0, 1]),
        ({"start": hours(-3.5), "end": hours(0)}, [-2]),
        ({"end": datetime(2016, 6, 10, 8, 0, 1)}, [-5, -4]),
        ({"start": hours(5), "end": hours(9)}, []),
        ({"start": hours(1), "end": hours(-9)}, []),
    ],
)
def test_history_from_a_time_on_and_before_another(home: Path, given: dict[str, datetime], found: list[int]) -> None:
    rows = serverload.read_history(home, server="10.0.0.1", **given).to_polars()
    assert rows["hour"].to_list() == [hours(hour) for hour in found]
    assert rows["peak_load"].to_list() == [100.0 + hour for hour in found]


def test_features_and_what_the_hours_became(home: Path) -> None:
    rows = serverload.features(home, server="10.0.0.1", start=hours(-3), horizons=(3, 1)).to_polars()

    told = rows.select("target_hour", "horizon_hours", "peak_load_origin_lag_0h", "label").rows()
    assert told == [
        (hours(-3), 1, 96.0, "low"),  # idle: another server has sessions
        (hours(-2), 1, 0.0, "low"), (hours(-2), 3, 95.0, "low"),
        (hours(0), 1, None, "low"), (hours(0), 3, 0.0, "low"),  # in the hour before nobody has; the one after is open
    ]  # fmt: skip
    with pytest.raises(InputError, match="no server x"):
        serverload.features(home, server="x")
    with pytest.raises(InputError, match="horizons: expected hours of 1 or more"):
        serverload.features(home, server="10.0.0.1", horizons=(0,))


def test_the_client_brings_what_the_tables_hold(client: serverload.ForecastClient, home: Path) -> None:
    assert client.forecasts().to_polars().equals(serverload.load_forecasts(home).to_polars())
    assert len(client.forecasts(["10.0.0.1", "10.0.0.2"], start=hours(1), end=hours(1), revisions="all")) == 2
    assert client.forecasts("10.0.0.2", as_of=AS_OF).to_arrow()["revision"].to_pylist() == [0, 0, 0]
    assert client.quality(days=1).to_polars()["matured"].to_list() == [2]
    assert client.plan(as_of=AS_OF).to_arrow().num_rows == 0
    assert client.servers().to_polars().select("server_group", "server_ip").rows() == [
        ("", "10.0.0.2"), ("7", "10.0.0.1"),
    ]  # fmt: skip
    assert [row["state"] for row in client.server("10.0.0.1", hours=2)["hours"]] == ["observed", "observed"]
    assert client.models()["answering"]["version"] == "3"
    assert client.alive()
    assert "serverload_requests_total" in client.metrics()


def test_the_client_asks_what_the_dashboard_shows(client: serverload.ForecastClient) -> None:
    assert len(client.outcomes("10.0.0.1", horizon=1, hours=4)) <= 4
    assert client.naive(days=1).to_arrow().num_rows == client.quality(days=1).to_arrow().num_rows
    assert client.confusion(days=1).to_polars().select("actual_class", "workload_class", "forecasts").rows() == [
        ("low", "low", 1), ("high", "low", 1),
    ]  # fmt: skip
    assert client.calibration(days=1).to_arrow().num_rows > 0
    assert client.fleet(past=2)["past"] == ["lm", "ll"]
    assert client.pipeline(batches=1).keys() >= {"watermark"}
    assert client.rejects() == {"read": 0, "rejects": []}
    with pytest.raises(ServiceError, match="404"):
        client.reasons("nobody", hours(1))


def test_the_client_scores(client: serverload.ForecastClient) -> None:
    history = {"server": "a", "first_hour": "2016-06-01T00:00", "peak_load": [40.0] * 200}
    rows = client.score({"servers": [history], "horizons": [1, 2]}).to_polars()
    assert rows["horizon_hours"].to_list() == [1, 2]
    assert rows["probability_low"].is_between(0, 1).all()


def test_what_is_wrong_is_one_line_with_the_field(client: serverload.ForecastClient, url: str) -> None:
    with pytest.raises(ServiceError) as told:
        client.forecasts(start=hours(2), end=hours(1))
    assert str(told.value) == f"{url}/forecasts: 422 query to: is before from"
    assert (told.value.status, told.value.errors[0]["path"]) == (422, "to")
    with pytest.raises(ServiceError, match="404 there is no server 'a b'"):
        client.server("a b")
    with pytest.raises(ServiceError, match="503 the newest forecasts were issued"):
        client.ready()
    with pytest.raises(ServiceError, match="401 this key is not known"):
        serverload.ForecastClient(url, "wrong").models()
    with pytest.raises(ServiceError, match="401 a key is needed"):
        serverload.ForecastClient(f"{url}/").models()


def test_no_service_there_is_one_line(home: Path) -> None:
    with pytest.raises(ServiceError) as told:
        serverload.ForecastClient("http://127.0.0.1:1").alive()
    assert str(told.value) == (
        "http://127.0.0.1:1/healthz: no answer: [Errno 111] Connection refused; is `serverload serve` running there?"
    )
    assert told.value.status == 0


def test_every_address_of_the_service_has_a_method(home: Path) -> None:
    paths = make_app_paths(home)
    asked_by_client = (Path(serverload.__file__).parent / "api" / "client.py").read_text()
    assert {path for path in paths if f'"{path.partition("{")[0].rstrip("/")}' not in asked_by_client} == set()
    assert len(paths) >= 10


def make_app_paths(home: Path) -> set[str]:
    return set(make_app(load_settings(flags={"home": str(home)}), home / "shared").openapi()["paths"])


def test_import_brings_nothing_in_until_it_is_used() -> None:
    code = (
        "import sys, serverload; heavy = ('pyspark', 'polars', 'pandas', 'pyarrow', 'requests', 'mlflow', 'numpy');"
        "before = [name for name in heavy if name in sys.modules];"
        "serverload.load_forecasts, serverload.ForecastClient, serverload.features;"
        "print(before, [name for name in ('pyspark', 'mlflow') if name in sys.modules], dir(serverload)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] [] ForecastClient\n"
    assert not hasattr(serverload, "nothing")


def test_times_are_told_as_utc(client: serverload.ForecastClient) -> None:
    naive, aware = datetime(2016, 6, 10, 13), datetime(2016, 6, 10, 13, tzinfo=UTC)
    told = [client.forecasts(start=time, end=time).to_polars() for time in (naive, aware)]
    assert isinstance(told[0], pl.DataFrame)
    assert told[0].equals(told[1])
    assert len(told[0]) == 2
