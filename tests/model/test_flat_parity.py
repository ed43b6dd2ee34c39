"""A forest without Spark beside the Spark pipeline that it was made from: the same probabilities, row by row."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from feature_cases import drawn_features, steady
from pyspark.ml import PipelineModel

from serverload.contracts.errors import ModelError
from serverload.contracts.feature_columns import NULLABLE_FEATURES
from serverload.model.flat_check import check_flat, rows_at_cuts, spark_probabilities
from serverload.model.flat_export import flat_forest
from serverload.model.flat_forest import FlatForest
from serverload.model.pipeline import forest_pipeline
from serverload.model.reasons import CONTRIBUTIONS, reasons


@pytest.fixture(scope="module")
def seasonal(spark) -> PipelineModel:
    """A forest of the article's features whose classes go by month and day of the week, whatever the load."""
    rows = [
        {
            "day": day, "hour": hour, "mean_7d_peak_load": 20.0 + day + hour,
            "label": ("low", "medium", "high")[(day % 7 + 2 * (day > 24)) % 3],
        }
        for day in range(60)
        for hour in (3, 15)
    ]  # fmt: skip
    return forest_pipeline("article", trees=20, depth=6, seed=7).fit(drawn_features(spark, rows).coalesce(1).cache())


@pytest.fixture(scope="module")
def saved(fitted, seasonal, tmp_path_factory) -> Path:
    """A folder with both pipelines as Spark saves them."""
    folder = tmp_path_factory.mktemp("pipelines")
    fitted.save(str(folder / "full"))
    seasonal.save(str(folder / "article"))
    return folder


@pytest.fixture(params=["full", "article"])
def both(request, fitted, seasonal, saved) -> tuple[PipelineModel, FlatForest]:
    """A Spark pipeline and its flat forest."""
    return {"full": fitted, "article": seasonal}[request.param], flat_forest(saved / request.param)


def edge_rows(spark) -> pl.DataFrame:
    """One load unknown each, or all; each day of the week in months that were never seen; extremes."""
    known = {column.name: 200.0 + place for place, column in enumerate(NULLABLE_FEATURES)}
    rows = [known | {column.name: None} for column in NULLABLE_FEATURES]
    rows += [{"day": day, "hour": 3, **steady(30)} for day in range(0, 364, 5)]
    rows += [{}, {"horizon_hours": 168, "day": -9000}, steady(0), steady(1e9), steady(5e-324)]
    return pl.DataFrame(pl.from_arrow(drawn_features(spark, rows).drop("label").toArrow()))


def test_the_probabilities_of_edge_rows_are_sparks(spark, both):
    model, forest = both
    features = edge_rows(spark)

    assert np.abs(forest.probabilities(features) - spark_probabilities(model, features)).max() <= 1e-9


def test_the_probabilities_are_sparks_where_a_value_lies_exactly_at_a_cut(both):
    model, forest = both
    features = rows_at_cuts(forest, 3000, seed=1)
    matrix, trees = forest.inputs.matrix(features), forest.trees

    at_a_cut = sum((matrix[:, trees.inputs[node]] == trees.thresholds[node]).any() for node in range(trees.inputs.size))

    assert at_a_cut >= 8
    assert np.abs(forest.probabilities(features) - spark_probabilities(model, features)).max() <= 1e-9


def test_each_split_by_a_category_is_walked_to_both_sides(spark, seasonal, saved):
    forest = flat_forest(saved / "article")
    matrix, trees = forest.inputs.matrix(edge_rows(spark)), forest.trees
    by_category = {place for place, owner in enumerate(forest.inputs.owners) if owner in ("month", "iso_day_of_week")}

    asked = by_category & set(trees.inputs[trees.thresholds == 0.5])

    assert len(asked) >= 7
    assert all(set(matrix[:, place]) == {0.0, 1.0} for place in asked)


def test_a_forest_that_differs_by_the_last_bit_of_its_cuts_is_found_out(fitted, saved):
    forest = flat_forest(saved / "full")
    check_flat(forest, fitted)
    moved = replace(forest.trees, thresholds=forest.trees.thresholds * (1 - 2**-52))

    with pytest.raises(ModelError, match="laid flat, it gives probabilities that are"):
        check_flat(replace(forest, trees=moved), fitted)


def test_the_reasons_add_up_to_sparks_probabilities(spark, both):
    model, forest = both
    features = edge_rows(spark)

    sums = reasons(forest, features).group_by("row", maintain_order=True).agg(pl.col(CONTRIBUTIONS).sum())

    assert np.abs(sums.drop("row").to_numpy() - spark_probabilities(model, features)).max() <= 1e-9


@pytest.mark.parametrize(
    ("stage", "told", "line"),
    [
        (7, {"class": "org.apache.spark.ml.classification.LogisticRegressionModel"}, "its stages are .*, Logistic"),
        (7, {"numClasses": 2}, "it has 2 where 3 is known"),
        (5, {"dropLast": True}, "it has True where False is known"),
        (3, {"withMean": True}, "it has .True, True. where .False, True. is known"),
        (1, {"statement": "SELECT *, 1 AS one FROM __THIS__"}, "its statement is another one"),
    ],
)
def test_a_pipeline_of_another_make_is_refused_in_one_line(saved, tmp_path, stage, told, line):
    shutil.copytree(saved / "full", tmp_path / "other")
    (metadata,) = (tmp_path / "other").glob(f"stages/{stage}_*/metadata/part-*")
    facts = json.loads(metadata.read_text())
    known = facts["paramMap"] | facts["defaultParamMap"]
    (facts["paramMap"] if known.keys() & told.keys() else facts).update(told)
    metadata.write_text(json.dumps(facts))

    with pytest.raises(ModelError, match=f"the pipeline cannot be laid flat: {line}"):
        flat_forest(tmp_path / "other")
