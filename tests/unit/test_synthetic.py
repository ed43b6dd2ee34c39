"""The synthetic history: repeatable, as dirty as it says, and with a truth that the lines bear out."""

import hashlib
import json
import math
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from producers.fleet import fleet
from producers.load_model import LoadModel
from producers.synthetic import GeneratedHistory, generate_history
from producers.truth import Truth
from serverload.contracts.errors import InputError
from serverload.contracts.lines import FIELDS_16

START = date(2016, 5, 28)
PROBABILITIES = ["probability_low", "probability_medium", "probability_high"]


def generated(out: Path, **changes: object) -> GeneratedHistory:
    arguments: dict[str, object] = {"servers": 12, "days": 10, "start": START, "seed": 7} | changes
    return generate_history(out, **arguments)  # type: ignore[arg-type]


def digests(history: GeneratedHistory) -> dict[str, str]:
    paths = (*history.files, history.truth, history.dirt)
    return {str(path.relative_to(history.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def csv_hours(history: GeneratedHistory) -> pl.DataFrame:
    """The hours' peaks in thousandths and how many windows reach them, read from a clean history alone."""
    text = b"".join(path.read_bytes() for path in history.files)
    lines = pl.read_csv(text, has_header=False, new_columns=list(FIELDS_16), schema_overrides=[pl.String] * 16)
    start = pl.col("SessionStart").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC")
    units = pl.col("TotalLoad").str.replace(".", "", literal=True).cast(pl.Int64)
    windows = lines.group_by("ServerIP", start.dt.truncate("5m").alias("window")).agg(units.sum().alias("units"))
    hour = pl.col("window").dt.truncate("1h").alias("hour")
    return windows.group_by(pl.col("ServerIP").alias("server_ip"), hour).agg(
        pl.col("units").max(), (pl.col("units") == pl.col("units").max()).sum().alias("busiest_windows")
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> GeneratedHistory:
    return generated(tmp_path_factory.mktemp("clean"), servers=30, days=40)


@pytest.fixture(scope="module")
def truth(clean: GeneratedHistory) -> pl.DataFrame:
    return pl.read_parquet(clean.truth)


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


def test_the_first_servers_are_those_of_the_article(clean, truth):
    assert {"115.220.193.16", "210.181.165.92"} <= set(truth["server_ip"])


def test_every_peak_of_the_truth_is_the_sum_of_exactly_one_window_in_the_lines(clean, truth):
    observed = truth.filter(pl.col("status") == "observed")
    both = observed.join(csv_hours(clean), on=["server_ip", "hour"], how="full", coalesce=True)
    assert len(both) == len(observed) == len(csv_hours(clean))
    assert (both["busiest_windows"] == 1).all()
    assert ((both["actual_peak_load"] * 1000).round(0).cast(pl.Int64) == both["units"]).all()


def test_classes_are_those_of_the_peaks(truth):
    peak = pl.col("actual_peak_load")
    upper = pl.when(peak <= 500).then(pl.lit("medium")).otherwise(pl.lit("high"))
    expected = pl.when(peak <= 100).then(pl.lit("low")).otherwise(upper)
    known = truth.filter(pl.col("status") != "missing")
    assert (known.select(expected.alias("c"))["c"] == known["actual_class"]).all()


def test_probabilities_are_distributions_and_missing_hours_have_none(truth):
    missing = truth.filter(pl.col("status") == "missing")
    known = truth.filter(pl.col("status") != "missing")
    unknown = missing.select(*PROBABILITIES, "actual_class", "actual_peak_load")
    assert unknown.null_count().row(0) == (len(missing),) * 5
    assert known.null_count().sum_horizontal().item() == 0
    assert known.select(((pl.sum_horizontal(PROBABILITIES) - 1).abs() < 1e-12).all()).item()
    assert known.select((pl.min_horizontal(PROBABILITIES) >= 0).all()).item()


def test_hours_are_observed_idle_missing_or_absent_by_their_definition(tmp_path):
    history = generated(tmp_path, servers=60, days=40, sessions_per_hour=1)
    truth = pl.read_parquet(history.truth)
    events = set(csv_hours(history).select("server_ip", "hour").iter_rows())
    busy_hours = {hour for _, hour in events}
    by_server: dict[str, list[float]] = {}
    for ip, hour in events:
        by_server.setdefault(ip, []).append(hour.timestamp() / 3600)
    begin = pl.datetime_range(pl.datetime(2016, 5, 28), pl.datetime(2016, 7, 6, 23), "1h", time_zone="UTC", eager=True)
    expected = {}
    for ip, seen in by_server.items():
        for hour in begin:
            number = hour.timestamp() / 3600
            if min(seen) <= number and any(number - 168 <= other <= number for other in seen):
                status = "idle" if hour in busy_hours else "missing"
                expected[ip, hour] = "observed" if (ip, hour) in events else status
    told = {(ip, hour): status for ip, hour, status in truth.select("server_ip", "hour", "status").iter_rows()}
    assert told == expected
    assert set(told.values()) == {"observed", "idle", "missing"}
    assert any(max(seen) + 168 < begin[-1].timestamp() / 3600 for seen in by_server.values()), "none has retired"


@pytest.mark.parametrize("noise", ["low", "high"])
def test_classes_come_as_often_as_the_truth_says(tmp_path, noise):
    history = generated(tmp_path, servers=150, days=60, noise=noise, sessions_per_hour=1)
    known = pl.read_parquet(history.truth).filter(pl.col("status") != "missing")
    assert len(known) > 150_000
    for name, column in zip(("low", "medium", "high"), PROBABILITIES, strict=True):
        hits = known.select((pl.col("actual_class") == name).cast(pl.Float64).alias("hit"), pl.col(column).alias("p"))
        tenth = (pl.col("p") * 10).floor().clip(0, 9).alias("tenth")
        bins = hits.group_by(tenth).agg(pl.col("hit", "p").mean(), pl.len().alias("hours"))
        assert abs(hits["hit"].mean() - hits["p"].mean()) < 0.004
        assert bins.filter(pl.col("hours") > 1500).select((pl.col("hit") - pl.col("p")).abs().max()).item() < 0.03


def test_the_truth_knows_the_drift_of_48_hours_before_and_nothing_newer():
    """With a drift of 2.0 and noise of 0.3, what is left unknown is sqrt(0.09 + 4 x (1 - 0.8^4)) = 1.5658."""
    drifting = fleet(300, 3, "medium")
    stable = np.array(drifting.kind_names) == "stable"
    drifting = replace(drifting, drift_sd=np.full(300, 2.0))
    surprises, days = [], list(LoadModel(drifting, START, seed=3).days(120))
    for day in days:
        observed = day.observed & stable[:, None]
        surprises.append(np.log(day.peak_units[observed] / 1000) - day.foreseen_log_load[observed])
    surprise = np.concatenate(surprises)
    assert surprise.std() == pytest.approx(1.5658, rel=0.01)
    assert abs(surprise.mean()) < 0.03
    truth, low = Truth(drifting, 100, 500), np.log(100.0005)
    rows = pl.from_arrow(truth.rows(days[0])).filter(server_ip=drifting.server_ips[0])
    expected = 0.5 * math.erfc((days[0].foreseen_log_load[0, 5] - low) / 1.5658 / math.sqrt(2))
    assert stable[0]
    assert rows["probability_low"][5] == pytest.approx(expected, rel=1e-3)


def test_all_classes_are_common(truth):
    share = dict(truth.drop_nulls("actual_class")["actual_class"].value_counts(normalize=True).iter_rows())
    assert 0.35 < share["low"] < 0.55
    assert 0.25 < share["medium"] < 0.45
    assert 0.12 < share["high"] < 0.30


@pytest.mark.parametrize(("noise", "sd"), [("low", 0.15), ("medium", 0.3), ("high", 0.6)])
def test_the_hourly_noise_of_stable_servers_has_the_promised_size(tmp_path, noise, sd):
    history = generated(tmp_path, servers=60, days=20, noise=noise, sessions_per_hour=1)
    made = fleet(60, 7, noise)
    stable = [ip for ip, kind in zip(made.server_ips, made.kind_names, strict=True) if kind == "stable"]
    seen = pl.read_parquet(history.truth).filter(status="observed").filter(pl.col("server_ip").is_in(stable))
    step = pl.col("actual_peak_load").log().diff().over("server_ip")
    in_one_day = pl.col("hour").dt.hour() > 0
    measured = seen.with_columns(step.alias("step")).filter(in_one_day)["step"].std() / math.sqrt(2)
    assert measured == pytest.approx(sd, rel=0.06)


def test_a_fleet_has_stable_patterned_erratic_new_and_dying_servers():
    made = fleet(400, 1, "medium")
    assert Counter(made.kind_names) == {"stable": 180, "patterned": 180, "erratic": 40}
    assert 20 < (made.first_hour > 0).sum() < 60
    assert 15 < (made.last_hour < 97 * 24).sum() < 50
    assert len(set(made.server_ips)) == 400


def test_patterned_servers_rest_on_us_federal_holidays(tmp_path):
    """Memorial Day, Monday 30 May 2016, against the Mondays around it."""
    history = generated(tmp_path, servers=200, days=17, sessions_per_hour=1, start=date(2016, 5, 21))
    made = fleet(200, 7, "medium")
    patterned = [ip for ip, kind in zip(made.server_ips, made.kind_names, strict=True) if kind == "patterned"]
    seen = pl.read_parquet(history.truth).filter(status="observed").filter(pl.col("server_ip").is_in(patterned))
    by_day = seen.group_by(pl.col("hour").dt.date()).agg(pl.col("actual_peak_load").log().mean())
    mean = dict(by_day.iter_rows())
    usual = (mean[date(2016, 5, 23)] + mean[date(2016, 6, 6)]) / 2
    assert mean[date(2016, 5, 30)] < usual - 0.5


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
