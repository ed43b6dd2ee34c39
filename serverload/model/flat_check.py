"""Does a flat forest score as its Spark pipeline does? Asked of rows that lie at the very cuts of its trees."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from serverload.contracts.classes import SAME_PROBABILITY
from serverload.contracts.errors import ModelError
from serverload.contracts.feature_columns import FEATURES, NULLABLE_FEATURES, FeatureColumn
from serverload.model.decision import Decision
from serverload.model.flat_forest import FlatForest
from serverload.model.forecasting import PROBABILITIES, scored_rows

_ROWS = 100
_UNKNOWN_SHARE = 0.2
_NO_LABEL = 99
_NEXT_DOUBLE = 2.0**-52

Floats = NDArray[np.float64]


def check_flat(flat: FlatForest, model: PipelineModel) -> None:
    """Score a hundred rows in both ways; needs a running Spark session. Raises ModelError where they differ."""
    rows = rows_at_cuts(flat, _ROWS)
    apart = np.abs(flat.probabilities(rows) - spark_probabilities(model, rows, flat.decision)).max()
    if not apart <= SAME_PROBABILITY:
        raise ModelError(f"laid flat, it gives probabilities that are {apart:.2g} from Spark's")


def rows_at_cuts(flat: FlatForest, count: int, seed: int = 42) -> pl.DataFrame:
    """Rows with all FEATURES, drawn where a difference would show: at the cuts of the trees, or right beside them.

    In the first row no load is known, in the next ones all but one; of the others one in five is not known.
    """
    random, cuts = np.random.default_rng(seed), _cuts(flat)
    drawn = {each.name: _drawn(each, flat, cuts.get(each.name, np.zeros(1)), random, count) for each in FEATURES}
    names = [each.name for each in NULLABLE_FEATURES]
    alone = np.vstack([np.ones(len(names), dtype=np.bool_), np.eye(len(names), dtype=np.bool_)])[:count]
    unknown = np.vstack([alone, random.random((count - len(alone), len(names))) < _UNKNOWN_SHARE])
    loads = {name: pl.Series(np.where(unknown[:, place], np.nan, drawn[name])) for place, name in enumerate(names)}
    flags = {f"missing_{name}": pl.Series(unknown[:, place]) for place, name in enumerate(names)}
    return pl.DataFrame(drawn | loads | flags).with_columns(pl.col(names).fill_nan(None))


def spark_probabilities(model: PipelineModel, rows: pl.DataFrame, decision: Decision | None = None) -> Floats:
    """Probabilities of rows with all FEATURES as Spark gives them, shape (n, 3), in their order."""
    given = rows.with_columns(label=pl.lit(None, pl.String)).to_arrow(compat_level=pl.CompatLevel.oldest())
    scored = scored_rows(SparkSession.active().createDataFrame(given).coalesce(1), model, decision)
    return pl.DataFrame(pl.from_arrow(scored.select(*PROBABILITIES).toArrow())).to_numpy()


def _cuts(flat: FlatForest) -> dict[str, Floats]:
    """Where the trees cut each load and number, in its own unit; nothing for what they do not ask for."""
    trees, inputs = flat.trees, flat.inputs
    inner = trees.children[:, 0] != np.arange(len(trees.children))
    units = np.concatenate([inputs.deviations, np.ones(len(inputs.numbers))])
    cuts = {
        name: trees.thresholds[inner & (trees.inputs == place)] * units[place]
        for place, name in enumerate((*inputs.loads, *inputs.numbers))
    }
    return {name: each for name, each in cuts.items() if each.size}


def _drawn(
    feature: FeatureColumn, flat: FlatForest, cuts: Floats, random: np.random.Generator, count: int
) -> NDArray[np.generic]:
    if feature.name in flat.inputs.labels:
        labels = [int(label) for label in flat.inputs.labels[feature.name]]
        return np.asarray(random.choice([*labels, _NO_LABEL], count), dtype=np.int32)
    if feature.type == "BOOLEAN":
        return random.random(count) < 0.5
    at = np.asarray(random.choice(cuts, count), dtype=np.float64)
    if feature.type == "INT":
        return (np.floor(at) + random.integers(0, 2, count)).astype(np.int32)
    return at * (1 + _NEXT_DOUBLE * random.integers(-1, 2, count))
