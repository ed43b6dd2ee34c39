"""Who is let in, how much they may ask, and what they are told when something is wrong."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from httpx2 import Response
from serve_cases import asked, drawn_home, place
from starlette.testclient import TestClient

from serverload.cli import app
from serverload.contracts.errors import InputError, SettingsError
from serverload.contracts.settings import load_settings
from serving.keys import make_key, read_keys, remove_key
from serving.rates import SharedRates
from serving.server import check_open

SCORED = {"servers": [{"server": "a", "first_hour": "2016-06-01T00:00", "peak_load": [1.0, 2.0]}], "horizons": [1]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    drawn_home(home)
    with asked(home, max_body_bytes=20_000, max_rows=5) as client:
        yield client


def status(client: TestClient, key: str | None, path: str = "/servers") -> int:
    header = {} if key is None else {"Authorization": f"Bearer {key}"}
    posted = path == "/score"
    return (client.post(path, json=SCORED, headers=header) if posted else client.get(path, headers=header)).status_code


def test_keys_open_what_their_scopes_name_and_change_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    reader, scorer = make_key(file, "reader", ["read"]), make_key(file, "scorer", ["score", "read"])
    with asked(tmp_path, keys_file=str(file)) as client:
        assert [status(client, key) for key in (reader, scorer, None, "", "sl_wrong", f"{reader}x")] == [
            200, 200, 401, 401, 401, 401,
        ]  # fmt: skip
        assert [status(client, key, "/score") for key in (reader, scorer, None)] == [403, 200, 401]
        assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 503, 401]
        newer = make_key(file, "reader", ["read"], replace=True)
        assert [status(client, key) for key in (reader, newer, scorer)] == [401, 200, 200]
        remove_key(file, "scorer")
        assert [status(client, key) for key in (newer, scorer)] == [200, 401]
        file.write_text("{")
        assert status(client, newer) == 503
        file.unlink()
        assert status(client, newer) == 503


def test_a_file_of_keys_holds_hashes_alone_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = [make_key(file, name, ["read"]) for name in ("one", "two")]
    assert not any(key in file.read_text() or key[3:] in file.read_text() for key in made)
    assert len(set(made)) == 2
    assert file.stat().st_mode & 0o777 == 0o600
    assert [key.name for key in read_keys(file)] == ["one", "two"]
    for wrong, line in (
        (lambda: make_key(file, "one", ["read"]), "there is a key 'one' already"),
        (lambda: make_key(file, "new", ["write"]), "write is none of read, score"),
        (lambda: remove_key(file, "none"), "there is no key 'none'; there are: one, two"),
        (lambda: read_keys(tmp_path / "other"), "is no file of keys .FileNotFoundError."),
    ):
        with pytest.raises(InputError, match=line):
            wrong()


def test_the_command_prints_a_key_once_and_lists_names_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "keys.json")
    app(["serve", "key", "board", "--scope", "read", "--scope", "score", "--keys-file", file], standalone_mode=False)
    key = capsys.readouterr().out.strip()
    app(["serve", "keys", "--keys-file", file, "--format", "csv"], standalone_mode=False)
    assert capsys.readouterr().out == 'name,scopes\nboard,"read, score"\n'
    with asked(tmp_path, keys_file=file) as client:
        assert status(client, key) == 200
    app(["serve", "key", "board", "--remove", "--keys-file", file], standalone_mode=False)
    assert read_keys(Path(file)) == ()
    with pytest.raises(SettingsError, match="no file of keys is set; set it, or give --keys-file FILE"):
        app(["serve", "keys"], standalone_mode=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])
def test_without_keys_others_are_not_listened_to(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="can be reached by others, and there are no keys; make a key with"):
        check_open(load_settings(flags={"serve": {"host": host}}).serve)
    make_key(tmp_path / "keys", "one", ["read"])
    check_open(load_settings(flags={"serve": {"host": host, "keys_file": str(tmp_path / "keys")}}).serve)
    for own in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        check_open(load_settings(flags={"serve": {"host": own}}).serve)


def test_without_keys_a_page_cannot_reach_us_by_a_name_of_its_own(client: TestClient) -> None:
    assert client.get("/servers", headers={"Host": "rebound.example"}).status_code == 403
    assert client.get("/servers", headers={"Host": "localhost:8000"}).status_code == 200
    assert client.get("/servers", headers={"Host": "[::1]:8000"}).status_code == 200


def test_requests_beyond_the_allowance_wait(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    one, two = make_key(file, "one", ["read"]), make_key(file, "two", ["read"])
    with asked(tmp_path, keys_file=str(file), requests_per_minute=3) as client:
        assert [status(client, one) for _ in range(4)] == [200, 200, 200, 429]
        assert status(client, two) == 200
        refused = client.get("/servers", headers={"Authorization": f"Bearer {one}"})
    assert 0 < int(refused.headers["Retry-After"]) <= 20


def test_an_allowance_fills_evenly_and_is_one_for_all_processes(tmp_path: Path) -> None:
    now = [1000.0]
    rates = [SharedRates(tmp_path / "rates", 60, lambda: now[0]) for _ in range(2)]
    taken = [rates[turn % 2].wait_seconds("key") for turn in range(61)]
    assert taken == [0.0] * 60 + [pytest.approx(1.0)]
    now[0] += 2
    assert [rates[0].wait_seconds("key") for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0)]
    assert rates[1].wait_seconds("other") == 0.0
    now[0] += 3600
    assert sum(rates[0].wait_seconds("key") == 0 for _ in range(100)) == 60


def bad(client: TestClient, body: object) -> tuple[int, str, str]:
    sent = body if isinstance(body, str | bytes) else json.dumps(body)
    answer = client.post("/score", content=sent, headers={"Content-Type": "application/json"})
    first = (answer.json().get("errors") or [{"path": ""}])[0]
    return answer.status_code, str(first["path"]), answer.json()["detail"]


HISTORY = {"server": "a", "first_hour": "2016-06-01T00:00:00Z", "peak_load": [1.0]}


@pytest.mark.parametrize(
    ("body", "path", "line"),
    [
        ("", "", "body: Invalid JSON: EOF"),
        (b"\xff\xfe", "", "body: Invalid JSON"),
        ("[" * 5000, "", "body: Invalid JSON: recursion limit exceeded"),
        ([], "", "body: Input should be an object"),
        ({}, "", "body: expected either servers or features"),
        ({"servers": []}, "servers", "at least 1 item"),
        ({"servers": [HISTORY], "more": 1}, "more", "Extra inputs are not permitted"),
        ({"servers": [HISTORY | {"peak_load": ["1"]}]}, "servers/0/peak_load/0", "should be a valid number"),
        ({"servers": [HISTORY | {"peak_load": [1, -1]}]}, "servers/0/peak_load/1", "greater than or equal to 0"),
        ('{"servers": [{"server": "a", "first_hour": "2016-06-01", "peak_load": [NaN]}]}', "servers/0/peak_load/0",
         "should be a finite number"),
        ({"servers": [HISTORY | {"peak_load": [1e300]}]}, "servers/0/peak_load/0", "less than or equal to 9"),
        ({"servers": [HISTORY | {"first_hour": "2016-06-01T00:30"}]}, "servers/0/first_hour", "start of an hour"),
        ({"servers": [HISTORY | {"first_hour": "0001-01-01T00:00+12:00"}]}, "servers/0/first_hour", "expected a UTC"),
        ({"servers": [HISTORY | {"first_hour": 1}]}, "servers/0/first_hour", "expected a UTC time"),
        ({"servers": [HISTORY | {"peak_sub_service_1_load": [1, 2]}]}, "servers/0", "service_1_load has 2 hours"),
        ({"servers": [HISTORY, HISTORY], "horizons": [1]}, "servers/1/server", "is told twice"),
        ({"servers": [HISTORY], "horizons": [0]}, "horizons/0", "greater than or equal to 1"),
        ({"servers": [HISTORY], "horizons": [1], "origin": "2016-06-01T01:00"}, "origin", "after the newest hour"),
        ({"servers": [HISTORY], "horizons": [1, 2, 3, 4, 5, 6]}, "servers", "6 forecasts are asked for, at most 5"),
        ({"servers": [HISTORY], "reasons": 99}, "reasons", "less than or equal to 20"),
        ({"features": [{"horizon_hours": 1}]}, "features/0/year", "Field required"),
        ({"servers": [HISTORY], "features": []}, "features", "at least 1 item"),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_body_is_named(client: TestClient, body: object, path: str, line: str) -> None:
    code, where, detail = bad(client, body)
    assert (code, where) == (422, path)
    assert line in detail


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [
        ("/forecasts?from=1", 422, "from"),
        ("/forecasts?from=2016-06-10T12:00&to=2016-06-10T11:00", 422, "to"),
        ("/forecasts?from=2016-01-01&to=2016-06-10", 422, "to"),
        ("/forecasts?as_of=9999-12-31T23:59:59-12:00", 422, "as_of"),
        ("/forecasts?revisions=some", 422, "revisions"),
        ("/forecasts?format=xml", 422, "format"),
        ("/forecasts", 422, "to"),  # six rows, five are allowed
        ("/quality?days=0", 422, "days"),
        ("/quality?by=horizon;drop", 422, "by"),
        ("/servers?by=file", 422, "by"),
        ("/servers/10.0.0.1?hours=1e9", 422, "hours"),
        ("/servers/10.0.0.1/reasons", 422, "hour"),
        ("/servers/10.0.0.1/reasons?hour=2016-06-10T12:30", 422, "hour"),
        ("/fleet?past=169", 422, "past"),
        ("/fleet?by=file", 422, "by"),
        ("/quality/naive?by=server", 422, "by"),
        ("/rejects?examples=99", 422, "examples"),
    ],
)
def test_a_bad_parameter_is_named(client: TestClient, path: str, code: int, field: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (code, field)
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_too_long_is_refused_unread(client: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 1000

    json_type = {"Content-Type": "application/json"}
    assert client.post("/score", content=b" " * 20_001, headers=json_type).status_code == 413
    assert client.post("/score", content=parts(), headers=json_type).status_code == 413
    assert client.post("/score", content=b"{}").status_code == 415
    assert client.get("/forecasts", headers={"Accept": "image/png"}).status_code == 406
    assert client.delete("/score").status_code == 405


HOSTILE = (
    "../../conf/base.toml", "..%2f..%2fetc%2fpasswd", "....//....//", "%00", "\\..\\", "file:///etc/passwd",
    "/etc/passwd",
    "'; drop table servers; --", "x' or '1'='1", "x' union select line from rejects --", "read_csv('/etc/passwd')",
    "$server", "?1", "{{7*7}}", "${jndi:ldap://x}", "<script>", "\r\nSet-Cookie: a=b", "%s%n", "1e999", "NaN", "-1",
    "9" * 400, "a" * 5000, "\u202e\u0000", "__class__", "[]", "null", "true", "0x10", "2016-02-30", "+", " ",
)  # fmt: skip
PARAMETERS = {
    "/forecasts": ("server", "from", "to", "as_of", "revisions", "format"),
    "/servers": ("by",),
    "/servers/10.0.0.1": ("hours",),
    "/servers/10.0.0.1/outcomes": ("horizon", "hours"),
    "/servers/10.0.0.1/reasons": ("hour", "top"),
    "/quality": ("days", "by", "format"),
    "/quality/naive": ("days", "by"),
    "/fleet": ("past", "by"),
    "/pipeline": ("batches",),
    "/rejects": ("examples",),
}
FIELDS = ("servers", "features", "origin", "horizons", "silent_hours", "reasons", "more")
TELLING = ("Traceback", 'File "', "_delta_log", "parquet", "root:")


def hostile_answers(client: TestClient, text: str) -> Iterator[Response]:
    """Answers to a text wherever a caller can put one."""
    shown = quote(text, safe="%")
    plain = text.encode("ascii", "ignore").decode().translate({10: None, 13: None, 0: None})
    yield client.get(f"/servers/{shown}")
    yield client.get(f"/{shown}")
    yield client.get(f"/dashboard/{shown}")
    yield client.get(f"/dashboard/files/{shown}")
    for path, names in PARAMETERS.items():
        for name in names:
            yield client.get(f"{path}?{name}={shown}")
            yield client.get(path, params=[(name, text), (name, text)])
    for header in ("Accept", "Authorization", "Content-Type", "Range", "X-Forwarded-For"):
        yield client.get("/servers", headers={header: plain})
    for field in FIELDS:
        yield client.post("/score", json=SCORED | {field: text})
    yield client.post("/score", json={"servers": [HISTORY | {"server": text, "first_hour": text}]})
    yield client.post("/score", content=text.encode("utf-8", "ignore"), headers={"Content-Type": "application/json"})
    yield client.request("TRACE", "/score")


def test_a_thousand_hostile_requests_find_nothing_and_break_nothing(client: TestClient) -> None:
    answers = [answer for text in HOSTILE for answer in hostile_answers(client, text)]

    assert len(answers) >= 1000
    assert {answer.status_code for answer in answers} <= {200, 404, 405, 415, 422, 406}
    for answer in answers:
        assert not any(word in answer.text for word in TELLING), answer.text
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code


def test_what_fails_within_is_told_by_an_id_that_the_log_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn_home(tmp_path)
    (tmp_path / "tables" / "servers" / "_delta_log" / f"{0:020}.json").write_text("no json")
    for log in (tmp_path / "tables" / "servers" / "_delta_log").glob("*1.json"):
        log.unlink()
    with asked(tmp_path) as client, caplog.at_level(logging.ERROR, "serverload.serve"):
        answer = client.get("/servers")
    told = answer.json()
    assert (answer.status_code, told["title"]) == (500, "Internal Server Error")
    assert str(tmp_path) not in answer.text
    assert answer.headers["x-request-id"] == told["id"]
    assert told["id"] in caplog.text


def test_a_model_that_cannot_be_read_leaves_the_one_before(tmp_path: Path) -> None:
    with asked(tmp_path) as client:
        champion = client.app.state.service.champion  # type: ignore[attr-defined]
        place(tmp_path / "shared", "4")
        (tmp_path / "shared" / "4-files" / "model.npz").write_bytes(b"")
        champion.look()
        assert champion.model.version == "3"
        assert "serverload_model_trouble 1.0" in client.get("/metrics").text
        told = next(check for check in client.get("/readyz").json()["checks"] if check["check"] == "registry")
        assert told["found"].startswith("the last good model answers")
        place(tmp_path / "shared", "5")
        champion.look()
        assert client.post("/score", json=SCORED).json()["model_version"] == "5"
        assert 'serverload_model{name="serverload-forecast",version="5"} 1.0' in client.get("/metrics").text


def test_only_the_horizons_that_a_version_knows(tmp_path: Path) -> None:
    place(tmp_path / "shared", only_horizons=(48,))
    with asked(tmp_path) as client:
        assert bad(client, SCORED)[1:] == ("horizons", "body horizons: version 3 forecasts 48 h ahead alone")
        assert len(client.post("/score", json=SCORED | {"horizons": [48]}).json()["forecasts"]) == 1
