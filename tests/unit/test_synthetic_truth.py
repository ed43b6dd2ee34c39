"""The truth beside a synthetic history: what the lines bear out, and probabilities that come true."""

import math
from collections import Counter
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from synthetic_cases import START, csv_hours, generated

from producers import load_model
from producers.fleet import fleet
from producers.load_model import LoadModel
from producers.synthetic import GeneratedHistory
from producers.truth import Truth

PROBABILITIES = ["probability_low", "probability_medium", "probability_high"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> GeneratedHistory:
    return generated(tmp_path_factory.mktemp("clean"), servers=30, days=40)


@pytest.fixture(scope="module")
def truth(clean: GeneratedHistory) -> pl.DataFrame:
    return pl.read_parquet(clean.truth)


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
    assert len(missing) > 0
    unknown = missing.select(*PROBABILITIES, "actual_class", "actual_peak_load")
    assert unknown.null_count().row(0) == (len(missing),) * 5
    assert known.null_count().sum_horizontal().item() == 0
    assert known.select(((pl.sum_horizontal(PROBABILITIES) - 1).abs() < 1e-12).all()).item()
    assert known.select((pl.min_horizontal(PROBABILITIES) >= 0).all()).item()


def test_hours_are_observed_idle_missing_or_absent_by_their_definition(tmp_path):
    history = generated(tmp_path, servers=60, days=40, seed=9, sessions_per_hour=1)
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
    """With a drift of 2.0 and noise of 0.3, what is left unknown is sqrt(0.09 + 4 x (1 - 0.8^4)) = 1.5658.

    On one day in 120 the level shifts by 0.5 more.
    """
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
    above = days[0].foreseen_log_load[0, 5] - low
    steady, shifted = (0.5 * math.erfc(above / sd / math.sqrt(2)) for sd in (1.5657586, math.hypot(1.5657586, 0.5)))
    expected = steady * (119 / 120) ** 2 + shifted * (1 - (119 / 120) ** 2)
    assert stable[0]
    assert rows["probability_low"][5] == pytest.approx(expected, rel=1e-6)


def test_what_comes_within_48_hours_is_not_foreseen(monkeypatch):
    """Two histories that part after two weeks are foreseen alike for two days more."""
    drawn, parting = load_model.day_random, 14
    made = fleet(300, 3, "medium")
    one = list(LoadModel(made, START, seed=3).days(parting + 3))
    monkeypatch.setattr(load_model, "day_random", lambda seed, *rest: drawn(seed + 100 * (rest[-1] >= parting), *rest))
    other = list(LoadModel(made, START, seed=3).days(parting + 3))
    same = [
        (a.foreseen_log_load == b.foreseen_log_load).all() and (a.foreseen_idle == b.foreseen_idle).all()
        for a, b in zip(one, other, strict=True)
    ]
    assert same == [True] * (parting + 2) + [False]
    assert (one[parting].peak_units != other[parting].peak_units).mean() > 0.5


def test_idle_hours_come_as_often_as_they_are_foreseen():
    """By how long a planned idle period has lasted 48 hours before, and where none was under way."""
    made = fleet(3000, 5, "low")
    days = list(LoadModel(made, START, seed=5).days(60))
    foreseen, idle = [], []
    for day in days[10:]:
        born = (day.index * 24 + np.arange(24) >= made.first_hour[:, None]) & ~day.silent
        foreseen.append(day.foreseen_idle[born])
        idle.append(day.peak_units[born] == 0)
    chance, came = np.concatenate(foreseen), np.concatenate(idle)
    for least, most in [(0.015, 0.03), (0.03, 0.1), (0.1, 0.25), (0.25, 0.41), (0.9, 1.01)]:
        between = (chance >= least) & (chance < most)
        assert between.sum() > 7000
        assert came[between].mean() == pytest.approx(chance[between].mean(), rel=0.1), (least, most)


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
