"""A forest of two trees, drawn by hand: small enough to follow on paper."""

import numpy as np
import polars as pl

from serverload.model.flat_forest import FlatForest
from serverload.model.flat_inputs import FlatInputs
from serverload.model.flat_trees import FlatTrees

LEAF = np.inf
INPUTS = FlatInputs(
    loads=("usual_load", "same_hour_mean", "spread_168h"),
    deviations=np.array([10.0, 20.0, 0.0]),
    numbers=("horizon_hours", "missing_usual_load"),
    labels={"month": ("6", "7")},
)
"""Input columns: 3 loads, horizon, flag, and month is 6, is 7, is another."""

TREES = FlatTrees(
    roots=np.array([0, 5]),
    #                     tree 0: usual load <= 3 deviations, then the flag; tree 1: month is 7
    inputs=np.array([0, 0, 4, 0, 0, 6, 0, 0]),
    thresholds=np.array([3.0, LEAF, 0.5, LEAF, LEAF, 0.5, LEAF, LEAF]),
    children=np.array([[1, 2], [1, 1], [3, 4], [3, 3], [4, 4], [6, 7], [6, 6], [7, 7]]),
    shares=np.array(
        [
            [0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5], [0.125, 0.125, 0.75], [0.5, 0.5, 0.0],
            [0.25, 0.5, 0.25], [0.25, 0.75, 0.0], [0.25, 0.0, 0.75],
        ]
    ),
    depth=2,
)  # fmt: skip
FOREST = FlatForest(INPUTS, TREES)


def drawn(**columns: object) -> pl.DataFrame:
    """Rows of one value, or a list of them, a column; what is not told is 20.0, June, one hour ahead."""
    given = {
        "usual_load": 20.0, "same_hour_mean": 20.0, "spread_168h": 20.0, "horizon_hours": 1,
        "missing_usual_load": False, "month": 6,
    } | columns  # fmt: skip
    count = max(len(each) for each in given.values() if isinstance(each, list)) if columns else 1
    types = {"usual_load": pl.Float64, "same_hour_mean": pl.Float64}
    whole = {name: each if isinstance(each, list) else [each] * count for name, each in given.items()}
    return pl.DataFrame(whole, schema_overrides=types | {"spread_168h": pl.Float64, "month": pl.Int32})
