"""The feature definition, drawn: in most cases hour H of a server has peak load H."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from serverload.contracts.feature_columns import FEATURES, NULLABLE_FEATURES, PEAKS
from serverload.contracts.instants import hour_number
from serverload.steps.features import feature_rows, forecast_pairs, lookback_hours, training_pairs
from serverload.steps.hours import FleetHours, ServerHours, server_hours, unseen_server

MIDNIGHT = hour_number(datetime(2016, 6, 1, tzinfo=UTC))
DTYPES = {"INT": pl.Int32, "BOOLEAN": pl.Boolean, "DOUBLE": pl.Float64}


def server_with(
    observed: Iterable[int],
    load: Callable[[np.ndarray], np.ndarray] = lambda hour: hour,
    fleet: Iterable[int] | None = None,
    last_hour: int | None = None,
    retire_after_hours: int = 168,
) -> ServerHours:
    """A server with these hours after 2016-06-01 00:00; peak column number c holds load + c."""
    hours = np.array(sorted(observed), dtype=np.int64)
    return server_hours(
        MIDNIGHT + hours,
        load(hours) + np.arange(len(PEAKS))[:, None] * 1.0,
        first_hour=MIDNIGHT + int(hours[0]),
        grid_start=MIDNIGHT + int(hours[0]),
        last_hour=MIDNIGHT + (int(hours[-1]) if last_hour is None else last_hour),
        fleet=FleetHours.of(MIDNIGHT + np.array(sorted(hours if fleet is None else fleet), dtype=np.int64)),
        retire_after_hours=retire_after_hours,
    )


def row(server: ServerHours, target: int, horizon: int) -> dict[str, object]:
    return feature_rows(server, np.array([MIDNIGHT + target]), np.array([horizon])).row(0, named=True)


def test_at_48_hours_the_lags_are_exactly_the_articles():
    features = row(server_with(range(2000)), 1500, 48)
    lags = [features[f"peak_load_origin_lag_{k}h"] for k in (0, 1, 2, 3, 4, 7, 12, 19)]
    lags += [features[f"peak_load_lag_{k}h"] for k in (72, 96, 168, 730)]
    assert [1500 - lag for lag in lags] == [48, 49, 50, 51, 52, 55, 60, 67, 72, 96, 168, 730]


@pytest.mark.parametrize("target", [480, 491, 503], ids=["00:00", "11:00", "23:00"])
def test_at_48_hours_the_daily_mean_is_the_articles_lag_2_window_7(target):
    """The article's window ends 3 days before the target's day and holds 7 days: of day 20, days 11 to 17."""
    features = row(server_with(range(600), load=lambda hour: 10.0 * (hour // 24)), target, 48)
    assert features["mean_7d_peak_load"] == 140
    assert features["mean_7d_peak_secure_bytes_load"] == 147


def test_the_daily_mean_leaves_out_the_origins_own_day():
    spike = server_with(range(600), load=lambda hour: np.where(hour // 24 == 20, 1e6, 1.0))
    assert row(spike, 504, 1)["mean_7d_peak_load"] == 1  # origin day 20, 23:00
    assert row(spike, 505, 1)["mean_7d_peak_load"] == (6 * 1 + 1e6) / 7  # origin day 21, 00:00


def test_the_hours_of_a_mean_are_added_one_by_one_from_the_oldest():
    """2^53 + 1 is 2^53 in doubles, so that any other order, or adding in pairs, gives more."""
    server = server_with(range(30), load=lambda hour: np.where(hour == 0, 2.0**53, 1.0))
    assert row(server, 30, 1)["mean_7d_peak_load"] == 2.0**53 / 24


def test_same_hours_are_whole_weeks_before_the_target():
    features = row(server_with(range(2000)), 1500, 36)
    assert [features[f"same_hour_{w}w"] for w in (1, 2, 3, 4)] == [1332, 1164, 996, 828]
    assert (features["same_hour_mean"], features["same_hour_min"], features["same_hour_max"]) == (1080, 828, 1332)


def test_what_lies_after_the_origin_is_null():
    server = server_with(range(2000))
    assert row(server, 1500, 72)["peak_load_lag_72h"] == 1428
    assert row(server, 1500, 73)["peak_load_lag_72h"] is None
    far = row(server, 1500, 337)
    assert (far["peak_load_lag_168h"], far["peak_load_lag_730h"]) == (None, 770)
    assert [far[f"same_hour_{w}w"] for w in (1, 2, 3, 4)] == [None, None, 996, 828]
    assert (far["same_hour_mean"], far["missing_same_hour_2w"], far["missing_same_hour_3w"]) == (912, True, False)


def test_idle_hours_are_zero_and_missing_hours_are_null_and_in_no_mean():
    gone = {1452, 1428}  # the origin, and 72 h before the target
    server = server_with(set(range(2000)) - gone, fleet=set(range(2000)) - {1428})
    features = row(server, 1500, 48)
    assert (features["peak_load_origin_lag_0h"], features["missing_peak_load_origin_lag_0h"]) == (0, False)
    assert (features["peak_load_lag_72h"], features["missing_peak_load_lag_72h"]) == (None, True)
    ones = server_with(set(range(400)) - set(range(240, 264)), load=np.ones_like, fleet=range(400))
    assert row(ones, 340, 1)["mean_7d_peak_load"] == 6 / 7  # one idle day of the seven
    silent = server_with(set(range(400)) - set(range(240, 264)), load=np.ones_like)
    assert row(silent, 340, 1)["mean_7d_peak_load"] == 1  # that day missing: a mean of six


def test_a_retired_server_knows_nothing_until_it_returns():
    server = server_with({*range(100), *range(600, 700)}, fleet=range(700))
    assert row(server, 268, 1)["peak_load_origin_lag_0h"] == 0  # hour 267 = 99 + 168 is its last idle one
    assert row(server, 269, 1)["peak_load_origin_lag_0h"] is None
    assert row(server, 600, 1)["mean_7d_peak_load"] is None
    back = row(server, 604, 1)
    assert [back[f"peak_load_origin_lag_{k}h"] for k in (0, 1, 2, 3, 4)] == [603, 602, 601, 600, None]


def test_a_server_first_seen_late_has_nulls_before_and_never_zeros():
    server = server_with(range(500, 560), fleet=range(560))
    features = row(server, 503, 2)
    assert [features[f"peak_load_origin_lag_{k}h"] for k in (0, 1, 2, 3)] == [501, 500, None, None]
    assert (features["mean_7d_peak_load"], features["same_hour_mean"]) == (None, None)
    day_after = row(server, 528, 1)  # origin 527 lies on day 21, whose week before holds 500 .. 503
    assert day_after["mean_7d_peak_load"] == 501.5


@pytest.mark.parametrize(
    ("target", "lag_1h", "same_hour_1w"),
    [
        ("2016-03-01T00:00Z", "2016-02-29T23:00Z", "2016-02-23T00:00Z"),
        ("2016-01-01T00:00Z", "2015-12-31T23:00Z", "2015-12-25T00:00Z"),
        ("2017-03-01T00:00Z", "2017-02-28T23:00Z", "2017-02-22T00:00Z"),
    ],
    ids=["leap day", "year end, ISO week 53", "month end"],
)
def test_lags_step_over_month_and_year_ends(target, lag_1h, same_hour_1w):
    at, an_hour, a_week = (hour_number(datetime.fromisoformat(t)) - MIDNIGHT for t in (target, lag_1h, same_hour_1w))
    features = row(server_with(range(at - 1000, at)), at, 1)
    assert features["peak_load_origin_lag_0h"] == an_hour
    assert features["same_hour_1w"] == a_week


def test_an_unseen_server_gets_its_calendar_and_nulls():
    origin = MIDNIGHT - 1
    rows = feature_rows(unseen_server(origin, 168), *forecast_pairs([origin], (1, 48)))
    assert rows["target_hour"].to_list() == [datetime(2016, 6, 1, tzinfo=UTC), datetime(2016, 6, 2, 23, tzinfo=UTC)]
    assert rows["is_business_hour"].to_list() == [False, False]
    assert all(rows[column.name].null_count() == 2 for column in NULLABLE_FEATURES)
    assert all(rows[f"missing_{column.name}"].to_list() == [True, True] for column in NULLABLE_FEATURES)


def test_columns_and_types_are_the_contract_with_or_without_rows():
    expected = {"target_hour": pl.Datetime("us", "UTC")} | {f.name: DTYPES[f.type] for f in FEATURES}
    server = server_with(range(1000))
    for pairs in (forecast_pairs([MIDNIGHT + 999], range(1, 49)), training_pairs(server, 0, 0, 0, (1,))):
        rows = feature_rows(server, *pairs)
        assert list(rows.schema.items()) == list(expected.items())
        assert rows.height == len(pairs[0])


def test_training_pairs_are_the_closed_hours_that_count_with_an_origin_not_before_the_first_hour():
    #       hour  10        13    14       15     16       (11, 12 idle; 14 missing; 16 not closed)
    server = server_with({10, 13, 15, 16}, fleet={10, 11, 12, 13, 15, 16})
    targets, horizons = training_pairs(server, MIDNIGHT + 15, 0, MIDNIGHT + 99, (1, 3))
    pairs = list(zip((targets - MIDNIGHT).tolist(), horizons.tolist(), strict=True))
    assert pairs == [(11, 1), (12, 1), (13, 1), (15, 1), (13, 3), (15, 3)]
    targets, horizons = training_pairs(server, MIDNIGHT + 15, MIDNIGHT + 12, MIDNIGHT + 13, (1,))
    assert (targets - MIDNIGHT).tolist() == [12, 13]


def test_retired_hours_are_no_training_targets():
    server = server_with({10, 20}, fleet=range(30), last_hour=29, retire_after_hours=3)
    targets, _ = training_pairs(server, MIDNIGHT + 29, 0, MIDNIGHT + 29, (1,))
    assert (targets - MIDNIGHT).tolist() == [11, 12, 13, 20, 21, 22, 23]


def test_forecasts_are_issued_for_each_hour_ahead():
    targets, horizons = forecast_pairs([1000, 1001], (1, 2, 48))
    assert targets.tolist() == [1001, 1002, 1048, 1002, 1003, 1049]
    assert horizons.tolist() == [1, 2, 48, 1, 2, 48]


@pytest.mark.parametrize(
    ("target", "horizon", "message"),
    [
        (1500, 0, "a horizon of 0 h: a forecast looks at least 1 h ahead"),
        (2001, 1, f"origin {MIDNIGHT + 2000} is after the grid's last hour {MIDNIGHT + 1999}"),
    ],
)
def test_what_the_grid_cannot_answer_is_an_error_and_not_a_null(target, horizon, message):
    with pytest.raises(ValueError, match=message):
        row(server_with(range(2000)), target, horizon)


def test_a_slice_may_start_910_hours_before_the_target_and_not_later():
    assert (lookback_hours(48, 168), lookback_hours(600, 168), lookback_hours(48, 24)) == (910, 1462, 910)
    hours = MIDNIGHT + np.arange(2000)
    loads = np.ones((8, 2000))
    cut = {"first_hour": MIDNIGHT, "grid_start": MIDNIGHT + 590, "last_hour": MIDNIGHT + 1999}
    server = server_hours(hours, loads, fleet=FleetHours.of(hours), retire_after_hours=168, **cut)
    assert row(server, 1500, 48)["peak_load_lag_730h"] == 1
    with pytest.raises(ValueError, match="the grid starts at hour"):
        row(server, 1499, 48)


def test_training_targets_beyond_the_grid_are_an_error():
    with pytest.raises(ValueError, match="the grid ends"):
        training_pairs(server_with(range(100)), MIDNIGHT + 100, 0, MIDNIGHT + 100, (1,))


def test_the_definition_needs_no_spark():
    modules = "watermark, hours, features, labels"
    check = f"import sys; from serverload.steps import {modules}; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
