"""Forecasts: features scored by a fitted pipeline, laid out as rows of `forecasts`."""

from datetime import datetime

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import ModelError
from serverload.contracts.feature_columns import FEATURES
from serverload.contracts.tables import TABLES
from serverload.model.pipeline import PROBABILITY

PROBABILITIES: tuple[str, ...] = tuple(f"probability_{name}" for name in CLASSES)
"""The probability columns, in the order of CLASSES."""

_UNREAD = "unread_label"
_A_VALUE = {"INT": 1, "BOOLEAN": False, "DOUBLE": 0.0}
_ROUNDING = 1e-6


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


def check_scores(spark: SparkSession, model: PipelineModel) -> None:
    """Score one row of which nothing but its time is known. Raises ModelError where the pipeline cannot."""
    ddl = ", ".join(f"{feature.name} {feature.type}" for feature in FEATURES)
    known = [None if feature.nullable else _A_VALUE[feature.type] for feature in FEATURES]
    try:
        rows = scored_rows(spark.createDataFrame([known], ddl).withColumn("label", sf.lit(None).cast("string")), model)
        (row,) = rows.select(*PROBABILITIES).collect()
    except (PySparkException, Py4JError) as error:
        raise ModelError(f"does not score the features there are: {_first_line(error)}") from error
    if None in row or abs(sum(row) - 1) > _ROUNDING:
        raise ModelError(f"gives no probability for each of {', '.join(CLASSES)}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


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
