"""The forest as one Spark ML pipeline: from the columns of `features` to class probabilities."""

from collections.abc import Sequence
from typing import Any

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import (
    OneHotEncoder,
    SQLTransformer,
    StandardScaler,
    StringIndexer,
    StringIndexerModel,
    VectorAssembler,
)

from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import CALENDAR_POSITION, FEATURE_SETS, NULLABLE_FEATURES, UNKNOWN_LOAD

LABEL_INDEX = "label_index"
INPUTS = "inputs"
PROBABILITY = "probability"
CATEGORIES: tuple[str, ...] = ("month", "iso_day_of_week")
"""Calendar columns that go in as one column per value; the others go in as numbers, which a tree cuts into ranges."""

_SCALED = "scaled_loads"
_BINS = 64
_LOADS = frozenset(column.name for column in NULLABLE_FEATURES)


def forest_pipeline(
    feature_set: str,
    *,
    trees: int,
    depth: int,
    seed: int,
    min_rows_per_leaf: int = 1,
    feature_subset: str = "auto",
    calendar_position: bool = True,
) -> Pipeline:
    """The unfitted pipeline: set apart what is unknown, encode, scale, one forest with the horizon as an input.

    Without `calendar_position` the inputs of that name are left out of the set.

    To be fitted on rows of `features`; only fitting reads `label`. A class's index is its position in CLASSES,
    never told from the data: one without training rows keeps its place, with probability 0. Any server, year
    or week is scored: no row is dropped, no value is an error.
    """
    inputs = [name for name in FEATURE_SETS[feature_set] if calendar_position or name not in CALENDAR_POSITION]
    loads = [name for name in inputs if name in _LOADS]
    categories = [name for name in inputs if name in CATEGORIES]
    numbers = [name for name in inputs if name not in _LOADS and name not in CATEGORIES]
    indexed, coded = _prefixed("indexed", categories), _prefixed("coded", categories)
    return Pipeline(
        stages=[
            StringIndexerModel.from_labels(
                list(CLASSES), inputCol="label", outputCol=LABEL_INDEX, handleInvalid="error"
            ),
            SQLTransformer(statement=_statement(loads, numbers)),
            VectorAssembler(inputCols=_prefixed("filled", loads), outputCol="loads"),
            StandardScaler(inputCol="loads", outputCol=_SCALED),
            StringIndexer(inputCols=categories, outputCols=indexed, handleInvalid="keep"),
            OneHotEncoder(inputCols=indexed, outputCols=coded, dropLast=False),
            VectorAssembler(inputCols=[_SCALED, *_prefixed("number", numbers), *coded], outputCol=INPUTS),
            _forest(trees, depth, seed, min_rows_per_leaf, feature_subset),
        ]
    )


def input_importances(model: PipelineModel) -> dict[str, float]:
    """Importance of each feature in a fitted pipeline, the largest first; a category's columns are added up."""
    stages: list[Any] = list(model.stages)
    loads, encoder, inputs, forest = stages[2], stages[-3], stages[-2], stages[-1]
    coded = dict(zip(encoder.getOutputCols(), encoder.categorySizes, strict=True))
    owners: list[str] = []
    for column in inputs.getInputCols():
        if column == _SCALED:
            owners += [name.removeprefix("filled_") for name in loads.getInputCols()]
        else:
            owners += [column.split("_", 1)[1]] * coded.get(column, 1)
    totals = dict.fromkeys(owners, 0.0)
    for owner, importance in zip(owners, forest.featureImportances.toArray(), strict=True):
        totals[owner] += float(importance)
    return dict(sorted(totals.items(), key=lambda entry: -entry[1]))


def _statement(loads: Sequence[str], numbers: Sequence[str]) -> str:
    """SQL that adds the loads without nulls, and the other inputs as numbers, beside all columns that are there."""
    filled = [f"coalesce({name}, {UNKNOWN_LOAD}D) AS filled_{name}" for name in loads]
    casts = [f"cast({name} AS double) AS number_{name}" for name in numbers]
    return f"SELECT *, {', '.join(filled + casts)} FROM __THIS__"


def _prefixed(prefix: str, names: Sequence[str]) -> list[str]:
    return [f"{prefix}_{name}" for name in names]


def _forest(trees: int, depth: int, seed: int, min_rows_per_leaf: int, feature_subset: str) -> RandomForestClassifier:
    """The forest; node ids are cached and groups of nodes are large, which took a third less CPU.

    Loads are cut into more bins than Spark's 32: of these one is about as wide as the noise of a steady server, and the
    bounds of the classes lie inside.
    """
    return RandomForestClassifier(
        featuresCol=INPUTS,
        labelCol=LABEL_INDEX,
        probabilityCol=PROBABILITY,
        numTrees=trees,
        maxDepth=depth,
        maxBins=_BINS,
        minInstancesPerNode=min_rows_per_leaf,
        featureSubsetStrategy=feature_subset,
        seed=seed,
        maxMemoryInMB=1024,
        cacheNodeIds=True,
    )
