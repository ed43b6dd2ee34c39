"""Rows of `forecasts` from features and a model."""

from datetime import UTC, datetime

import numpy as np
import pytest
from feature_cases import drawn_features, steady
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf
from pyspark.sql.types import StructType

from serverload.contracts.tables import TABLES
from serverload.model.calibration import Calibration
from serverload.model.decision import PLAIN_COST, Decision
from serverload.model.forecasting import (
    PROBABILITIES,
    calibrated,
    cheapest_class,
    forecast_rows,
    most_probable_class,
    prediction_set,
)
from serverload.steps.feature_frames import CLIMATOLOGY

ISSUED = datetime(2016, 6, 28, 22, tzinfo=UTC)
NOW = datetime(2016, 6, 28, 23, 10, 1, tzinfo=UTC)


def with_history(features: DataFrame, recent: int = 168, known: int = 672) -> DataFrame:
    """Beside the features what the server itself was like: mostly medium."""
    usual = zip(CLIMATOLOGY, (0.1, 0.7, 0.2), strict=True)
    told = {"known_hours_7d": recent, "known_hours_28d": known} | dict(usual)
    return features.withColumns({name: sf.lit(each) for name, each in told.items()})


@pytest.fixture(scope="module")
def forecasts(spark, fitted):
    # 2016-06-29 is day 23 after Monday 2016-06-06
    rows = [
        {"server_ip": "10.0.0.1", "day": 22, "hour": 23, "horizon_hours": 1, **steady(25)},
        {"server_ip": "10.0.0.1", "day": 23, "hour": 0, "horizon_hours": 2, **steady(950)},
        {"server_ip": "10.0.0.2", "day": 22, "hour": 23, "horizon_hours": 1},
    ]
    return forecast_rows(
        with_history(drawn_features(spark, rows)),
        fitted,
        model_name="serverload-forecast",
        model_version="7",
        revision=0,
        issued_at=NOW,
    )


def test_the_columns_are_those_of_the_table(forecasts):
    expected = StructType.fromDDL(TABLES["forecasts"].ddl)
    assert [(f.name, f.dataType) for f in forecasts.schema] == [(f.name, f.dataType) for f in expected]


def test_each_row_of_features_becomes_one_forecast(forecasts):
    rows = forecasts.withColumn("target_hour", sf.col("target_hour").cast("string"))
    told = rows.orderBy("server_ip", "horizon_hours").select(
        "server_ip", "horizon_hours", "target_hour", "workload_class", "model_version", "revision"
    )

    assert [tuple(row) for row in told.collect()][:2] == [
        ("10.0.0.1", 1, "2016-06-28 23:00:00", "low", "7", 0),
        ("10.0.0.1", 2, "2016-06-29 00:00:00", "high", "7", 0),
    ]
    assert told.count() == 3


def test_the_target_date_is_the_utc_day_of_the_target(forecasts):
    rows = forecasts.where("server_ip = '10.0.0.1'").orderBy("horizon_hours").select("target_date").collect()

    assert [str(row[0]) for row in rows] == ["2016-06-28", "2016-06-29"]


def test_the_times_given_are_the_times_written(forecasts):
    row = forecasts.select(sf.unix_seconds("issued_hour"), sf.unix_seconds("issued_at")).distinct().collect()

    assert [tuple(each) for each in row] == [(int(ISSUED.timestamp()), int(NOW.timestamp()))]


def test_probabilities_add_up_to_one_and_the_largest_names_the_class(forecasts):
    for row in forecasts.collect():
        chances = {name: row[f"probability_{name}"] for name in ("low", "medium", "high")}
        assert sum(chances.values()) == pytest.approx(1.0, abs=1e-12)
        assert chances[row["workload_class"]] == max(chances.values())


@pytest.mark.parametrize(
    ("chances", "expected"),
    [((0.2, 0.3, 0.5), "high"), ((0.4, 0.4, 0.2), "low"), ((0.2, 0.4, 0.4), "medium"), ((0.0, 1.0, 0.0), "medium")],
)
def test_of_equal_probabilities_the_lower_class_is_said(spark, chances, expected):
    frame = spark.range(1).select(most_probable_class(*(sf.lit(chance) for chance in chances)))

    assert frame.collect()[0][0] == expected


def test_a_revision_can_differ_by_row(spark, fitted):
    rows = drawn_features(spark, [{"server_ip": "10.0.0.1"}, {"server_ip": "10.0.0.2"}])

    made = forecast_rows(
        with_history(rows),
        fitted,
        model_name="m",
        model_version="1",
        revision=sf.when(sf.col("server_ip") == "10.0.0.2", 3).otherwise(0),
        issued_at=NOW,
    )

    assert [row[0] for row in made.orderBy("server_ip").select("revision").collect()] == [0, 3]


@pytest.mark.parametrize(
    ("chances", "cost", "expected"),
    [
        ((0.4, 0.4, 0.2), PLAIN_COST, "low"),
        ((0.2, 0.4, 0.4), PLAIN_COST, "medium"),
        ((0.45, 0.05, 0.5), ((0, 1, 2), (1, 0, 1), (2, 1, 0)), "medium"),  # the median of the ordered classes
        ((0.0, 0.55, 0.45), ((0, 1, 2), (1, 0, 1), (3, 1.5, 0)), "high"),  # a missed high hour costs more
    ],
)
def test_the_class_with_the_least_expected_cost_is_said(spark, chances, cost, expected):
    frame = spark.range(1).select(cheapest_class(cost, *(sf.lit(chance) for chance in chances)))

    assert frame.collect()[0][0] == expected


@pytest.mark.parametrize(
    ("chances", "said", "group", "expected"),
    [
        ((0.7, 0.2, 0.1), "low", "", "low,medium"),
        ((0.7, 0.2, 0.1), "low", "3", "low"),
        ((0.5, 0.1, 0.4), "low", "", "low,medium,high"),  # what lies between two members is one too
        ((0.05, 0.05, 0.9), "medium", "3", "medium,high"),  # the class that is said is in each that is not empty
        ((0.5, 0.1, 0.4), "low", "4", ""),
    ],
)
def test_a_set_holds_the_classes_that_reach_the_thresholds_of_their_group(spark, chances, said, group, expected):
    thresholds = {"": (0.2, 0.2, 0.2), "3": (0.3, 0.3, 0.3), "4": (0.6, 0.6, 0.6)}
    members = prediction_set(thresholds, sf.lit(said), sf.lit(group), *(sf.lit(chance) for chance in chances))

    assert spark.range(1).select(members).collect()[0][0] == expected


def test_columns_are_calibrated_as_arrays_are(spark):
    calibration = Calibration((1.3, 0.8), (0.2, -0.4))
    chances = [(0.0, 1.0, 0.0), (0.2, 0.3, 0.5), (1.0, 0.0, 0.0), (0.6, 0.1, 0.3)]
    frame = spark.createDataFrame(chances, ", ".join(f"{name} double" for name in PROBABILITIES))

    told = [tuple(row) for row in calibrated(frame, calibration).collect()]

    assert np.array(told) == pytest.approx(calibration.applied(np.array(chances)), abs=1e-12)


@pytest.mark.parametrize(
    ("recent", "known", "basis", "said"),
    [(24, 24, "model", "high"), (23, 24, "climatology", "medium"), (23, 23, "none", None)],
)
def test_a_server_of_which_little_is_known_gets_its_own_climatology_or_nothing(
    spark, fitted, recent, known, basis, said
):
    row = {"server_ip": "10.0.0.1", **steady(950)}
    features = with_history(drawn_features(spark, [row]), recent, known)
    decision = Decision(thresholds={"": (0.15, 0.15, 0.15)})
    named = {"model_name": "m", "model_version": "1", "revision": 0, "issued_at": NOW}

    (made,) = forecast_rows(features, fitted, decision, **named, min_known_hours=24).collect()

    assert (made["basis"], made["workload_class"]) == (basis, said)
    chances = [made[name] for name in PROBABILITIES]
    if basis == "climatology":
        assert chances == [0.1, 0.7, 0.2]
        assert made["prediction_set"] == "medium,high"
    if basis == "none":
        assert (chances, made["prediction_set"]) == ([None] * 3, None)
