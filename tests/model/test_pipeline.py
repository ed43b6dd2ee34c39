"""The pipeline: what it fills in, what it never drops, and where its classes stand."""

import pytest
from feature_cases import drawn_features, history, steady, trees_of
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array

from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import ARTICLE_FEATURES, FEATURE_SETS, NULLABLE_FEATURES, UNKNOWN_LOAD
from serverload.model.pipeline import INPUTS, forest_pipeline, input_importances

SMALL = {"trees": 5, "depth": 3, "seed": 42}


def probabilities(model: PipelineModel, frame) -> list[list[float]]:
    return [row[0] for row in model.transform(frame).select(vector_to_array("probability")).collect()]


def test_a_class_without_training_rows_keeps_its_place_with_probability_zero(spark):
    model = forest_pipeline("full", **SMALL).fit(drawn_features(spark, history({"high": 900, "low": 20})))

    chances = probabilities(model, drawn_features(spark, [steady(30)]).drop("label"))

    assert chances == [[1.0, 0.0, 0.0]]


def test_the_commonest_class_does_not_come_first(spark, fitted):
    rows = [steady(load) for load in (30, 210, 920)]

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


def test_an_unknown_load_is_told_from_none_at_all(spark, fitted):
    names = [column.name for column in NULLABLE_FEATURES]
    drawn = [dict.fromkeys(names, load) for load in (None, 0.0, 700.0)]

    rows = fitted.transform(drawn_features(spark, drawn).drop("label"))

    filled = rows.select(*(f"filled_{name}" for name in names)).distinct().collect()
    assert sorted(map(tuple, filled)) == [(load,) * len(names) for load in (UNKNOWN_LOAD, 0.0, 700.0)]
    assert UNKNOWN_LOAD < 0


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
    frame = drawn_features(spark, history({"low": 20, "high": 900}))

    model = forest_pipeline("article", **SMALL).fit(frame)

    assert set(input_importances(model)) == set(ARTICLE_FEATURES)
    names = model.transform(frame).select(INPUTS).schema[0].metadata["ml_attr"]["attrs"]
    assert not [each["name"] for kind in names.values() for each in kind if "horizon" in each["name"]]
