"""Forecasts: features scored by a fitted pipeline, laid out as rows of `forecasts`."""

from collections.abc import Mapping, Sequence
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
from serverload.model.calibration import Arithmetic, Calibration
from serverload.model.decision import Cost, Decision
from serverload.model.pipeline import PROBABILITY
from serverload.model.prediction_sets import BINS as SET_BINS
from serverload.model.prediction_sets import Thresholds
from serverload.steps.feature_frames import CLIMATOLOGY

PROBABILITIES: tuple[str, ...] = tuple(f"probability_{name}" for name in CLASSES)
"""The probability columns, in the order of CLASSES."""

COLUMN_ARITHMETIC = Arithmetic(
    sf.exp,
    sf.log,
    lambda one, other: sf.greatest(sf.lit(one), sf.lit(other)),
    lambda one, other: sf.least(sf.lit(one), sf.lit(other)),
)
_UNREAD = "unread_label"
_A_VALUE = {"INT": 1, "BOOLEAN": False, "DOUBLE": 0.0}
_ROUNDING = 1e-6


def scored_rows(features: DataFrame, model: PipelineModel, decision: Decision | None = None) -> DataFrame:
    """The rows of `features` with `workload_class` and a probability per class beside them.

    Probabilities are calibrated and the class has the least expected cost, as `decision` says; without one they are
    the forest's, and the class is the most probable. A label passes through unread, null or not: the pipeline looks at
    a column of that name only to be fitted.
    """
    decision = decision or Decision()
    scored = model.transform(features.withColumnRenamed("label", _UNREAD)).withColumnRenamed(_UNREAD, "label")
    listed = scored.withColumn("scores", vector_to_array(sf.col(PROBABILITY)))
    raw = [sf.col("scores")[index].alias(name) for index, name in enumerate(PROBABILITIES)]
    told = calibrated(listed.select(*features.columns, *raw), decision.calibration)
    probabilities = [sf.col(name) for name in PROBABILITIES]
    return told.select(
        *features.columns, cheapest_class(decision.cost, *probabilities).alias("workload_class"), *PROBABILITIES
    )


def calibrated(rows: DataFrame, calibration: Calibration) -> DataFrame:
    """The same rows with their probabilities calibrated, by the arithmetic that arrays are calibrated with."""
    if not calibration.changes:
        return rows
    drawn = calibration.of(sf.col(PROBABILITIES[0]), sf.col(PROBABILITIES[1]), COLUMN_ARITHMETIC)
    return rows.withColumns(dict(zip(PROBABILITIES, drawn, strict=True)))


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
    return _class_at(sf.array_position(ranked, sf.array_max(ranked)))


def cheapest_class(cost: Cost, *probabilities: Column) -> Column:
    """Name of the class whose saying costs least on average, given the probabilities; of equals the lower class."""
    expected = sf.array(
        *(
            sum((chance * sf.lit(row[said]) for chance, row in zip(probabilities, cost, strict=True)), sf.lit(0.0))
            for said in range(len(CLASSES))
        )
    )
    return _class_at(sf.array_position(expected, sf.array_min(expected)))


def prediction_set(thresholds: Mapping[str, Thresholds], said: Column, group: Column, *chances: Column) -> Column:
    """The classes, joined by commas in their order, that reach the thresholds of the server's group, and those between.

    Empty where none does; the class that is said is in every other. Null without thresholds.
    """
    if not thresholds:
        return sf.lit(None).cast("string")
    common = _array(thresholds[""])
    others = [(name, each) for name, each in thresholds.items() if name]
    entries = [part for name, each in others for part in (sf.lit(name), _array(each))]
    limits = sf.coalesce(sf.create_map(*entries)[group], common) if entries else common
    names = [sf.lit(name) for name in CLASSES]
    reached = [chance >= limits[index] for index, chance in enumerate(chances)]
    any_reached = reached[0] | reached[1] | reached[2]
    member = [each | (any_reached & (said == name)) for each, name in zip(reached, names, strict=True)]
    between = member[1] | (member[0] & member[2])
    kept = [sf.when(each, name) for each, name in zip((member[0], between, member[2]), names, strict=True)]
    return sf.concat_ws(",", *kept)


def set_cells(rows: DataFrame, came: Column) -> list[tuple[str, int, int, int]]:
    """Counts for `prediction_sets`: rows by `server_group`, class that came, and bin of the probability `given` to it.

    Counted in one Spark job; as many cells as groups x 3 x 1000 at most reach the driver.
    """
    index = sf.array_position(sf.array(*map(sf.lit, CLASSES)), came) - 1
    bin_number = sf.least(sf.floor(sf.col("given") * SET_BINS), sf.lit(SET_BINS - 1))
    cells = rows.groupBy("server_group", index.alias("came"), bin_number.alias("bin")).count().collect()
    return [(group, int(label), int(place), count) for group, label, place, count in cells]


def forecast_rows(
    features: DataFrame,
    model: PipelineModel,
    decision: Decision | None = None,
    *,
    model_name: str,
    model_version: str,
    revision: int | Column,
    issued_at: datetime,
    min_known_hours: int = 0,
) -> DataFrame:
    """Rows of `forecasts` for features as `forecast_feature_frame` gives them; one row out for each row in.

    Where fewer than `min_known_hours` of the last 168 hours are known, the server's own climatology is issued, if as
    many of the last 672 are; else `basis` is none, and class, probabilities and set are null. A column `server_group`,
    if there is one, names the server's group for the thresholds of the sets. Times are aware.
    """
    decision = decision or Decision()
    issued = sf.timestamp_seconds(sf.unix_seconds("target_hour") - sf.col("horizon_hours") * 3600)
    rows = with_basis(scored_rows(features, model, decision), decision.cost, min_known_hours)
    group = sf.col("server_group") if "server_group" in features.columns else sf.lit("")
    sets = prediction_set(decision.thresholds, sf.col("workload_class"), group, *map(sf.col, PROBABILITIES))
    known = {
        "issued_hour": issued,
        "model_name": sf.lit(model_name),
        "model_version": sf.lit(model_version),
        "revision": sf.lit(revision),
        "issued_at": sf.lit(issued_at),
        "prediction_set": sf.when(sf.col("basis") != "none", sets),
        "target_date": sf.to_date("target_hour"),
    }
    return rows.withColumns(known).select(*TABLES["forecasts"].column_names)


def with_basis(scored: DataFrame, cost: Cost, min_known_hours: int) -> DataFrame:
    """Scored rows with what each rests on; those with too little for the model get the climatology, or nothing."""
    basis = (
        sf.when(sf.col("known_hours_7d") >= min_known_hours, "model")
        .when(sf.col("known_hours_28d") >= max(1, min_known_hours), "climatology")
        .otherwise("none")
    )
    told = scored.withColumn("basis", basis)
    chances = {
        name: sf.when(sf.col("basis") == "model", sf.col(name)).when(sf.col("basis") == "climatology", sf.col(usual))
        for name, usual in zip(PROBABILITIES, CLIMATOLOGY, strict=True)
    }
    said = cheapest_class(cost, *map(sf.col, PROBABILITIES))
    by_basis = sf.when(sf.col("basis") == "model", sf.col("workload_class")).when(
        sf.col("basis") == "climatology", said
    )
    return told.withColumns(chances).withColumn("workload_class", by_basis)


def _array(numbers: Sequence[float]) -> Column:
    return sf.array(*(sf.lit(number) for number in numbers))


def _class_at(position: Column) -> Column:
    """Name of the class at a position that counts from 1; null where it is null."""
    return sf.element_at(sf.array(*(sf.lit(name) for name in CLASSES)), position.cast("int"))
