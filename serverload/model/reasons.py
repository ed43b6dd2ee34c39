"""Why a forest gave its probabilities: what each feature added to them, and what was there before any was known.

On its way through a tree a row passes nodes with other class distributions; each step's difference is put down to the
feature that the node asked for. The mean over the trees adds up, exactly, to the probabilities.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES
from serverload.model.flat_forest import FlatForest

Floats = NDArray[np.float64]

BASE, OTHERS, CALIBRATION = "base", "other features", "calibration"
CONTRIBUTIONS: tuple[str, ...] = tuple(f"contribution_{name}" for name in CLASSES)


def reasons(model: FlatForest, features: pl.DataFrame) -> pl.DataFrame:
    """What made up the probabilities of each row: `row`, `feature`, `value`, and a contribution per class.

    `row` is the position in `features`. First `base`, what the forest says of a row it knows nothing of, then each
    feature, the one that moved a class most first; at last `calibration`, where the model has one. The contributions
    of a row add up to its probabilities. `value` is a number, 1 for true; null where the load is unknown: then it is
    what standing in for it added.
    """
    names = [BASE, *model.inputs.features]
    owners = np.array([names.index(owner) for owner in model.inputs.owners])
    terms = model.trees.contributions(model.inputs.matrix(features), owners)
    terms[:, 0] = model.trees.base
    size = np.abs(terms).max(axis=2)
    size[:, 0] = np.inf
    if model.decision.calibration.changes:
        names.append(CALIBRATION)
        raw = terms.sum(axis=1)
        moved = model.decision.calibration.applied(raw) - raw
        terms, size = np.hstack([terms, moved[:, None]]), np.pad(size, ((0, 0), (0, 1)), constant_values=-1)
    return _ranked(names, features, terms, size)


def _ranked(names: list[str], features: pl.DataFrame, terms: Floats, size: Floats) -> pl.DataFrame:
    """Terms of each row, shape (n, names, 3), as rows of their own, the largest first."""
    order = np.argsort(-size, axis=1, kind="stable")
    told = [pl.col(name).cast(pl.Float64) if name in features.columns else pl.lit(None, pl.Float64) for name in names]
    values = features.select(each.alias(str(place)) for place, each in enumerate(told)).to_numpy()
    contributions = np.take_along_axis(terms, order[:, :, None], axis=1).reshape(-1, len(CLASSES)).T
    return pl.DataFrame(
        {
            "row": np.repeat(np.arange(len(order)), len(names)),
            "feature": pl.Series(names).gather(order.ravel()),
            "value": pl.Series(np.take_along_axis(values, order, axis=1).ravel(), nan_to_null=True),
            **dict(zip(CONTRIBUTIONS, contributions, strict=True)),
        }
    )


def leading_reasons(terms: pl.DataFrame, classes: pl.Series, top: int) -> pl.DataFrame:
    """Of `reasons`, those of one class a row: `row`, `feature`, `value`, `contribution`.

    `classes` names the class of each row. The base, the `top` features that moved it most, largest first (fewer where
    fewer moved it), the others added up, and the calibration: their sum is still the probability.
    """
    said = pl.DataFrame({"row": np.arange(len(classes)), "said": classes})
    by_class = [pl.when(pl.col("said") == name).then(each) for name, each in zip(CLASSES, CONTRIBUTIONS, strict=True)]
    told = terms.join(said, on="row").with_columns(contribution=pl.coalesce(by_class))
    size, feature = pl.col("contribution").abs(), pl.col("feature")
    rank = size.rank("ordinal", descending=True).over("row", feature.is_in([BASE, CALIBRATION]))
    place = (
        pl.when(feature == BASE).then(0)
        .when(feature == CALIBRATION).then(top + 2)
        .when(size == 0).then(top + 1)
        .otherwise(rank.clip(upper_bound=top + 1))
        .alias("place")
    )  # fmt: skip
    leading = told.group_by("row", place).agg(pl.col("feature", "value").first(), pl.col("contribution").sum())
    others = pl.col("place") == top + 1
    return leading.sort("row", "place").select(
        "row",
        pl.when(others).then(pl.lit(OTHERS)).otherwise("feature").alias("feature"),
        pl.when(~others).then("value").alias("value"),
        "contribution",
    )
