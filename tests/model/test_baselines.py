"""The naive forecasts on drawn histories; every expected number is worked out by hand."""

import pytest
from feature_cases import LIMITS, drawn_features

from serverload.model.baselines import BASELINES, Baselines, fit_baselines

A, B = "10.0.0.1", "10.0.0.2"


def past(server: str, day: int, label: str, **told: object) -> dict[str, object]:
    """A training row of 09:00 on a day; days 0 and 7 are Mondays."""
    return {"server_ip": server, "day": day, "hour": 9, "label": label, **told}


HISTORY = [
    # A's Mondays at 09:00 were high twice and medium once, all else of it low; B was always low
    past(A, 0, "high", same_hour_1w=600.0, peak_load_origin_lag_0h=50.0),
    past(A, 7, "high", same_hour_1w=600.0, peak_load_origin_lag_0h=50.0),
    past(A, 14, "medium", same_hour_1w=600.0, peak_load_origin_lag_0h=50.0),
    past(A, 1, "low", same_hour_1w=40.0, peak_load_origin_lag_0h=50.0),
    past(B, 0, "low", same_hour_1w=40.0, peak_load_origin_lag_0h=50.0),
    past(B, 1, "low", same_hour_1w=40.0),
]


@pytest.fixture(scope="module")
def baselines(spark) -> Baselines:
    longer = [{**row, "horizon_hours": 60} for row in HISTORY[:3]]
    return fit_baselines(drawn_features(spark, HISTORY + longer), **LIMITS)


def answers(spark, baselines: Baselines, **told: object) -> dict[str, tuple[str, tuple[float, ...]]]:
    """What each baseline says of one row: class and probabilities."""
    rows = baselines.forecasts(drawn_features(spark, [told])).collect()
    return {
        row["model"]: (row["workload_class"], tuple(row[f"probability_{name}"] for name in ("low", "medium", "high")))
        for row in rows
    }


def test_the_majority_is_counted_once_per_target_not_once_per_horizon(spark, baselines):
    said = answers(spark, baselines, server_ip=A, day=21, hour=9)["majority"]

    assert said == ("low", pytest.approx((3 / 6, 1 / 6, 2 / 6)))


def test_climatology_is_the_class_of_the_server_and_the_hour_of_the_week(spark, baselines):
    monday = answers(spark, baselines, server_ip=A, day=21, hour=9)["climatology"]
    tuesday = answers(spark, baselines, server_ip=A, day=22, hour=9)["climatology"]

    # server A: (1, 1, 2) rows and 2 at the fleet's (3, 1, 2) / 6; then Monday's (0, 1, 2) and 2 at the server's
    server = ((1 + 1) / 6, (1 + 1 / 3) / 6, (2 + 2 / 3) / 6)
    assert monday == ("high", pytest.approx((2 * server[0] / 5, (1 + 2 * server[1]) / 5, (2 + 2 * server[2]) / 5)))
    assert tuesday == ("low", pytest.approx(((1 + 2 * server[0]) / 3, 2 * server[1] / 3, 2 * server[2] / 3)))


def test_an_hour_of_the_week_never_seen_gets_the_servers_frequencies(spark, baselines):
    said = answers(spark, baselines, server_ip=A, day=25, hour=3)["climatology"]

    assert said == ("high", pytest.approx((2 / 6, (4 / 3) / 6, (8 / 3) / 6)))


def test_a_server_never_seen_gets_the_fleets_frequencies(spark, baselines):
    said = answers(spark, baselines, server_ip="fe80::9", day=21, hour=9)["climatology"]

    assert said == ("low", pytest.approx((3 / 6, 1 / 6, 2 / 6)))


def test_persistence_says_the_class_at_the_origin(spark, baselines):
    said = answers(spark, baselines, server_ip=B, day=21, hour=9, peak_load_origin_lag_0h=500.0001)["persistence"]

    assert said[0] == "high"


def test_last_week_says_the_class_of_the_same_hour(spark, baselines):
    said = answers(spark, baselines, server_ip=B, day=21, hour=9, same_hour_1w=100.0, same_hour_2w=900.0)

    assert said["same hour last week"][0] == "low"


@pytest.mark.parametrize(
    ("weeks", "expected"),
    [
        ((90.0, 600.0, 150.0, None), "medium"),
        ((90.0, 130.0, 60.0, 600.0), "medium"),  # (90 + 130) / 2 = 110
        ((None, None, None, 700.0), "high"),
    ],
)
def test_four_weeks_say_the_class_of_the_median_of_those_known(spark, baselines, weeks, expected):
    told = {f"same_hour_{week}w": load for week, load in enumerate(weeks, start=1)}

    assert answers(spark, baselines, server_ip=B, day=21, hour=9, **told)["median of 4 weeks"][0] == expected


def test_a_bare_class_is_as_probable_as_it_was_right_in_training(spark, baselines):
    said = answers(spark, baselines, server_ip=B, day=21, hour=9, same_hour_1w=900.0)["same hour last week"]

    # in training "high" was said three times of 48 h: high, high, medium; and 2 rows at the fleet's (3, 1, 2) / 6
    assert said == ("high", pytest.approx((1 / 5, (1 + 1 / 3) / 5, (2 + 2 / 3) / 5)))


def test_a_baseline_without_its_load_answers_as_climatology(spark, baselines):
    said = answers(spark, baselines, server_ip=A, day=21, hour=9)

    assert {said[name][0] for name in BASELINES if name != "majority"} == {"high"}


def test_a_horizon_never_trained_gets_the_fleets_frequencies(spark, baselines):
    said = answers(spark, baselines, server_ip=B, day=21, hour=9, horizon_hours=3, same_hour_1w=900.0)

    assert said["same hour last week"] == ("high", pytest.approx((3 / 6, 1 / 6, 2 / 6)))


def test_every_row_is_answered_by_every_baseline(spark, baselines):
    rows = drawn_features(spark, [{"server_ip": "fe80::9"}, {"server_ip": A, "hour": 9}, {"server_ip": B, "day": 4000}])

    made = baselines.forecasts(rows).collect()

    assert sorted((row["server_ip"], row["model"]) for row in made) == sorted(
        (server, name) for server in ("fe80::9", A, B) for name in BASELINES
    )
    for row in made:
        chances = [row[f"probability_{name}"] for name in ("low", "medium", "high")]
        assert min(chances) > 0
        assert sum(chances) == pytest.approx(1.0)
