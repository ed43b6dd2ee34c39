"""Why a forest gave its probabilities: what each feature added to them, and what was there before any was known.

On its way through a tree a row passes nodes with other class distributions; each step's difference is put down to the
feature that the node asked for. The mean over the trees adds up, exactly, to the probabilities.
"""

import numpy as np
import polars as pl

from serverload.contracts.classes import CLASSES
from serverload.model.flat_forest import FlatForest

BASE, OTHERS = "base", "other features"
CONTRIBUTIONS: tuple[str, ...] = tuple(f"contribution_{name}" for name in CLASSES)


def reasons(model: FlatForest, features: pl.DataFrame) -> pl.DataFrame:
    """What made up the probabilities of each row: `row`, `feature`, `value`, and a contribution per class.

    `row` is the position in `features`. First `base`, what the forest says of a row it knows nothing of, then each
    feature, the one that moved a class most first. The contributions of a row add up to its probabilities.
    `value` is a number, 1 for true; null where the load is unknown: then it is what standing in for it added.
    """
    names, rows = model.inputs.features, len(features)
    owners = np.array([names.index(owner) for owner in model.inputs.owners])
    added = model.trees.contributions(model.inputs.matrix(features), owners)
    ranked = np.argsort(-np.abs(added).max(axis=2), axis=1, kind="stable")
    values = features.select(pl.col(names).cast(pl.Float64)).to_numpy()
    base = np.broadcast_to(model.trees.base, (rows, 1, len(CLASSES)))
    terms = np.concatenate([base, np.take_along_axis(added, ranked[:, :, None], axis=1)], axis=1)
    return pl.DataFrame(
        {
            "row": np.repeat(np.arange(rows), terms.shape[1]),
            "feature": np.insert(np.array(names, dtype=object)[ranked], 0, BASE, axis=1).ravel(),
            "value": np.insert(np.take_along_axis(values, ranked, axis=1), 0, np.nan, axis=1).ravel(),
            **{name: terms[:, :, index].ravel() for index, name in enumerate(CONTRIBUTIONS)},
        },
        schema_overrides={"feature": pl.String},
    ).with_columns(pl.col("value").fill_nan(None))


def leading_reasons(terms: pl.DataFrame, classes: pl.Series, top: int) -> pl.DataFrame:
    """Of `reasons`, those of one class a row: `row`, `feature`, `value`, `contribution`.

    `classes` names the class of each row. The base, the `top` features that moved it most, largest first (fewer where
    fewer moved it), and the others added up: their sum is still the probability.
    """
    said = pl.DataFrame({"row": np.arange(len(classes)), "said": classes})
    by_class = [pl.when(pl.col("said") == name).then(each) for name, each in zip(CLASSES, CONTRIBUTIONS, strict=True)]
    told = terms.join(said, on="row").with_columns(contribution=pl.coalesce(by_class))
    is_base = pl.col("feature") == BASE
    rank = pl.col("contribution").abs().rank("ordinal", descending=True).over("row", is_base)
    moved = pl.when(pl.col("contribution") == 0).then(top + 1).otherwise(rank.clip(upper_bound=top + 1))
    place = pl.when(is_base).then(0).otherwise(moved).alias("place")
    first = pl.col("feature", "value").first()
    leading = told.group_by("row", place).agg(first, pl.col("contribution").sum()).sort("row", "place")
    of_others = pl.col("place") > top
    return leading.select(
        "row",
        pl.when(of_others).then(pl.lit(OTHERS)).otherwise("feature").alias("feature"),
        pl.when(~of_others).then("value").alias("value"),
        "contribution",
    )
