"""The synthetic history: repeatable, in the layout that it promises, and as dirty as its ledger says."""

import hashlib
import json
from collections import Counter
from datetime import date

import polars as pl
import pytest
from synthetic_cases import generated

from producers.synthetic import GeneratedHistory
from serverload.contracts.errors import InputError
from serverload.contracts.lines import FIELDS_16


def digests(history: GeneratedHistory) -> dict[str, str]:
    paths = (*history.files, history.truth, history.dirt)
    return {str(path.relative_to(history.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> GeneratedHistory:
    return generated(tmp_path_factory.mktemp("clean"), days=10)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path):
    once, again = generated(tmp_path / "a", dirty=0.05), generated(tmp_path / "b", dirty=0.05)
    assert digests(once) == digests(again)
    other = generated(tmp_path / "c", dirty=0.05, seed=8)
    assert not set(digests(once).values()) & set(digests(other).values())


def test_a_longer_history_begins_with_the_shorter_one(tmp_path):
    short, long = generated(tmp_path / "a", dirty=0.05), generated(tmp_path / "b", dirty=0.05, days=23)
    assert [path.read_bytes() for path in long.files[:10]] == [path.read_bytes() for path in short.files]
    truth = pl.read_parquet(long.truth)
    assert pl.read_parquet(short.truth).equals(truth.filter(pl.col("hour") < pl.datetime(2016, 6, 7, time_zone="UTC")))


def test_days_are_files_in_year_and_month_folders_without_header(clean):
    assert [str(path.relative_to(clean.out)) for path in clean.files[:5:4]] == [
        "2016/05/2016-05-28.csv",
        "2016/06/2016-06-01.csv",
    ]
    first = clean.files[4].read_text().splitlines()[0].split(",")
    assert len(first) == 16
    assert first[0].startswith("2016-06-01 00:0")
    assert clean.lines == sum(path.read_bytes().count(b"\n") for path in clean.files)
    assert clean.bytes == sum(path.stat().st_size for path in clean.files)


def test_lines_of_a_day_are_in_time_order(clean):
    for path in clean.files[:7]:
        starts = [line[:19] for line in path.read_text().splitlines()]
        assert starts == sorted(starts)
        assert {start[:10] for start in starts} == {path.stem}


def test_the_first_servers_are_those_of_the_article(clean):
    assert {"115.220.193.16", "210.181.165.92"} <= set(pl.read_parquet(clean.truth)["server_ip"])


def test_the_size_of_a_history_follows_the_sessions_per_hour(tmp_path):
    for wanted in (1, 4, 9, 40):
        history = generated(tmp_path / str(wanted), sessions_per_hour=wanted)
        hours = pl.read_parquet(history.truth).filter(pl.col("status") == "observed").height
        assert history.lines / hours == pytest.approx(wanted, rel=0.05)


def reason_of(line: bytes) -> str | None:
    """Why a generated line must be refused, by the plainest means; enough for what the generator writes."""
    try:
        fields = line.decode().split(",")
    except UnicodeDecodeError:
        return "encoding"
    if len(fields) not in (16, 17) or line.startswith(b"{"):
        return "columns"
    start, load, server = (fields[i] for i in ((0, 13, 15) if len(fields) == 16 else (1, 14, 15)))
    if start and not any(c.isdigit() for c in start):
        return "header"
    try:
        date.fromisoformat(start[:10])
    except ValueError:
        return "session_start"
    if len(start) != 19 or start[11:13] > "23" or start[14:16] > "59":
        return "session_start"
    octets = server.split(".")
    if len(octets) != 4 or any(o != str(int(o)) or int(o) > 255 for o in octets):
        return "server_ip"
    if not load.replace(".", "", 1).isdigit() or load.endswith(".") or float(load) > 1e9:
        return "total_load"
    return "ahead" if start >= "2087" else None


def test_the_dirt_in_the_files_is_the_dirt_in_the_ledger(tmp_path):
    history = generated(tmp_path, dirty=0.2, days=20)
    ledger = json.loads(history.dirt.read_text())
    texts = [path.read_bytes() for path in history.files]
    lines = [line.removesuffix(b"\r") for text in texts for line in text.split(b"\n")]
    real = [line for line in lines if line.strip()]
    reasons = Counter(reason_of(line) for line in real)
    assert reasons.pop(None) == ledger["accepted"]
    assert reasons == ledger["rejected"]
    assert set(reasons) == {"encoding", "columns", "header", "session_start", "server_ip", "total_load", "ahead"}
    assert len(real) == ledger["lines"] == history.lines
    good = [line.decode().split(",") for line in real if reason_of(line) is None]
    assert sum(len(fields) == 17 for fields in good) == ledger["older_layout_lines"] > 0
    repaired = Counter()
    for fields in good:
        older = len(fields) == 17
        for name in ("MbytesTransferred", *FIELDS_16[6:13]):
            repaired[name] += not fields[FIELDS_16.index(name) + older].replace(".", "", 1).isdigit()
    assert {name: count for name, count in repaired.items() if count} == ledger["repaired"]
    assert sum(text.count(b"\r\n") > 0 for text in texts) == ledger["crlf_files"] > 0
    assert sum(not text.endswith(b"\n") for text in texts) == ledger["unended_files"] > 0
    assert len([line for text in texts for line in text.split(b"\n")[:-1] if not line.strip()]) >= 1


def test_the_dirty_share_of_the_lines_is_the_rate(tmp_path):
    history = generated(tmp_path, servers=30, dirty=0.1)
    ledger = json.loads(history.dirt.read_text())
    dirty = sum(ledger["rejected"].values()) + sum(ledger["repaired"].values())
    assert dirty / ledger["accepted"] == pytest.approx(0.1, rel=0.01)


def test_dirt_leaves_truth_and_good_sessions_as_they_are(tmp_path):
    clean, dirty = generated(tmp_path / "clean"), generated(tmp_path / "dirty", dirty=0.1)
    assert pl.read_parquet(clean.truth).equals(pl.read_parquet(dirty.truth))
    assert json.loads(dirty.dirt.read_text())["accepted"] == clean.lines
    assert json.loads(clean.dirt.read_text())["lines"] == clean.lines


def test_a_folder_with_other_files_is_refused_and_the_same_history_is_written_again(tmp_path):
    first = generated(tmp_path)
    assert digests(generated(tmp_path)) == digests(first)
    with pytest.raises(InputError, match=r"2016-06-06.csv: is not of this history"):
        generated(tmp_path, days=9)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"servers": 0}, "servers: expected 1 to 100000, got 0"),
        ({"days": 0}, "days: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"dirty": 1.5}, "dirty: expected a rate from 0 to 0.5, got 1.5"),
        ({"sessions_per_hour": 0.5}, "sessions per hour: expected 1 to 1000, got 0.5"),
        ({"start": date(1969, 12, 31)}, "start: expected a day from 1970-01-01 on"),
        ({"days": 40_000}, "end after 2098"),
        ({"noise": "loud"}, "use low, medium or high noise"),
    ],
)
def test_arguments_that_make_no_history_are_named(tmp_path, changes, complaint):
    with pytest.raises(InputError, match=complaint):
        generated(tmp_path, **changes)


def test_one_server_for_one_day_is_a_history(tmp_path):
    history = generated(tmp_path, servers=1, days=1)
    truth = pl.read_parquet(history.truth)
    assert len(truth) == 24
    assert set(truth["status"]) <= {"observed", "missing"}
