"""Forecasts: features scored by a fitted pipeline, laid out as rows of `forecasts`."""

from datetime import datetime

from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES
from serverload.contracts.tables import TABLES
from serverload.model.pipeline import PROBABILITY

PROBABILITIES: tuple[str, ...] = tuple(f"probability_{name}" for name in CLASSES)
"""The probability columns, in the order of CLASSES."""

_UNREAD = "unread_label"


def scored_rows(features: DataFrame, model: PipelineModel) -> DataFrame:
    """The rows of `features` with `workload_class` and a probability per class beside them.

    A label passes through unread, null or not: the pipeline looks at a column of that name only to be fitted.
    """
    scored = model.transform(features.withColumnRenamed("label", _UNREAD)).withColumnRenamed(_UNREAD, "label")
    listed = scored.withColumn("scores", vector_to_array(sf.col(PROBABILITY)))
    probabilities = [sf.col("scores")[index] for index in range(len(CLASSES))]
    return listed.select(
        *features.columns,
        most_probable_class(*probabilities).alias("workload_class"),
        *(score.alias(name) for score, name in zip(probabilities, PROBABILITIES, strict=True)),
    )


def most_probable_class(*probabilities: Column) -> Column:
    """Name of the class with the largest probability, given in the order of CLASSES; of equals the lower class."""
    ranked = sf.array(*probabilities)
    names = sf.array(*(sf.lit(name) for name in CLASSES))
    return sf.element_at(names, sf.array_position(ranked, sf.array_max(ranked)).cast("int"))


def forecast_rows(
    features: DataFrame,
    model: PipelineModel,
    *,
    model_name: str,
    model_version: str,
    revision: int | Column,
    issued_at: datetime,
) -> DataFrame:
    """Rows of `forecasts` for features as `forecast_feature_frame` gives them; one row out for each row in.

    Times are aware. The class is the most probable one, the lower of equals; the probabilities add up to 1.
    """
    issued = sf.timestamp_seconds(sf.unix_seconds("target_hour") - sf.col("horizon_hours") * 3600)
    rows = scored_rows(features, model).withColumns(
        {
            "issued_hour": issued,
            "model_name": sf.lit(model_name),
            "model_version": sf.lit(model_version),
            "revision": sf.lit(revision),
            "issued_at": sf.lit(issued_at),
        }
    )
    dated = rows.withColumn("target_date", sf.to_date("target_hour"))
    return dated.select(*TABLES["forecasts"].column_names)
