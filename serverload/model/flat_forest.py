"""A registered forest without Spark: its preparation and its trees as flat arrays; numpy and Polars alone."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.model.flat_inputs import FlatInputs
from serverload.model.flat_trees import FlatTrees


@dataclass(frozen=True, eq=False)
class FlatForest:
    """All that scoring takes; probabilities are those of the Spark pipeline that it was made from, to 1e-9."""

    inputs: FlatInputs
    trees: FlatTrees

    def probabilities(self, features: pl.DataFrame) -> NDArray[np.float64]:
        """Probabilities in the order of CLASSES, shape (n, 3), for rows as `steps.features.feature_rows` gives them.

        Raises InputError for a missing column, or one that is null where only loads may be.
        """
        return self.trees.probabilities(self.inputs.matrix(features))
