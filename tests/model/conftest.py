"""What several tests of the model share, made once."""

import pytest
from feature_cases import drawn_features, history
from pyspark.ml import PipelineModel

from serverload.model.pipeline import forest_pipeline


@pytest.fixture(scope="session")
def fitted(spark) -> PipelineModel:
    """A small forest that knows loads about 20 as low, 200 as medium and 900 as high."""
    rows = history({"low": 20, "medium": 200, "high": 900})
    return forest_pipeline("full", trees=5, depth=3, seed=42).fit(drawn_features(spark, rows).coalesce(1).cache())
