"""The pipeline: what it fills in, what it never drops, and where its classes stand."""

import pytest
from feature_cases import drawn_features, history, same_hours, trees_of
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array

from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import ARTICLE_FEATURES, FEATURE_SETS
from serverload.model.pipeline import INPUTS, forest_pipeline, input_importances

SMALL = {"trees": 5, "depth": 3, "seed": 42}


def probabilities(model: PipelineModel, frame) -> list[list[float]]:
    return [row[0] for row in model.transform(frame).select(vector_to_array("probability")).collect()]


def test_a_class_without_training_rows_keeps_its_place_with_probability_zero(spark):
    model = forest_pipeline("full", **SMALL).fit(drawn_features(spark, history({"high": 900, "low": 20})))

    chances = probabilities(model, drawn_features(spark, [same_hours(30)]).drop("label"))

    assert chances == [[1.0, 0.0, 0.0]]


def test_the_commonest_class_does_not_come_first(spark, fitted):
    rows = [same_hours(load) for load in (30, 210, 920)]

    likeliest = [row.index(max(row)) for row in probabilities(fitted, drawn_features(spark, rows).drop("label"))]

    assert [CLASSES[index] for index in likeliest] == ["low", "medium", "high"]


def test_an_unseen_server_year_week_and_unknown_loads_are_scored_and_not_dropped(spark, fitted):
    strange = [
        {"server_ip": "fe80::1", "day": 5000},
        {"server_ip": "10.9.9.9", "day": -3000, "hour": 23, "horizon_hours": 168},
        {"server_ip": "10.9.9.8", "day": 29, "peak_load_origin_lag_0h": 1e9},
    ]

    chances = probabilities(fitted, drawn_features(spark, strange).drop("label"))

    assert [sum(row) for row in chances] == pytest.approx([1.0, 1.0, 1.0], abs=1e-12)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"peak_load_lag_168h": 7.0, "same_hour_mean": 20.0, "mean_7d_peak_load": 30.0}, 7.0),
        ({"same_hour_mean": 20.0, "mean_7d_peak_load": 30.0}, 20.0),
        ({"mean_7d_peak_load": 30.0, "peak_load_origin_lag_0h": 40.0}, 30.0),
        ({"peak_load_origin_lag_12h": 50.0, "peak_load_origin_lag_3h": 45.0}, 45.0),
        # no level at all: the mean of what the training rows had, 40 of each load n above 20, 200 and 900
        ({}, (20 + 200 + 900) / 3 + 19.5),
    ],
)
def test_an_unknown_load_is_filled_with_the_best_known_level(spark, fitted, known, expected):
    row = fitted.transform(drawn_features(spark, [known]).drop("label")).select("known_peak_load_lag_168h").collect()[0]

    assert row[0] == pytest.approx(expected)


def test_an_unknown_part_of_the_load_is_not_filled_with_the_whole_load(spark, fitted):
    row = fitted.transform(drawn_features(spark, [{"same_hour_mean": 900.0}]).drop("label")).collect()[0]

    assert row["known_mean_7d_peak_secure_bytes_load"] == 0.0


def test_the_same_rows_and_seed_give_the_same_trees(spark, fitted):
    rows = drawn_features(spark, history({"low": 20, "medium": 200, "high": 900})).coalesce(1)

    assert trees_of(forest_pipeline("full", **SMALL).fit(rows)) == trees_of(fitted)


def test_every_feature_has_an_importance_and_the_telling_ones_the_largest(fitted):
    importances = input_importances(fitted)

    assert set(importances) == set(FEATURE_SETS["full"])
    assert sum(importances.values()) == pytest.approx(1.0)
    assert importances["year"] == 0.0
    assert next(iter(importances)) not in ("month", "iso_day_of_week", "hour_of_day")


def test_the_article_set_knows_no_horizon_and_no_same_hours(spark):
    frame = drawn_features(
        spark, [{**row, "mean_7d_peak_load": row["same_hour_mean"]} for row in history({"low": 20, "high": 900})]
    )

    model = forest_pipeline("article", **SMALL).fit(frame)

    assert set(input_importances(model)) == set(ARTICLE_FEATURES)
    names = model.transform(frame).select(INPUTS).schema[0].metadata["ml_attr"]["attrs"]
    assert not [each["name"] for kind in names.values() for each in kind if "horizon" in each["name"]]
