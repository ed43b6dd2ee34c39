"""A registered forest without Spark: its preparation and its trees as flat arrays; numpy and Polars alone."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.model.decision import Decision
from serverload.model.flat_inputs import FlatInputs
from serverload.model.flat_trees import FlatTrees


@dataclass(frozen=True, eq=False)
class FlatForest:
    """All that scoring takes; probabilities are those of the Spark pipeline that it was made from, to 1e-9.

    `decision` is what becomes of them: they are calibrated as it says.
    """

    inputs: FlatInputs
    trees: FlatTrees
    decision: Decision = field(default_factory=Decision)

    def probabilities(self, features: pl.DataFrame) -> NDArray[np.float64]:
        """Calibrated, in the order of CLASSES, shape (n, 3), for rows as `steps.features.feature_rows` gives them.

        Raises InputError for a missing column, or one that is null where only loads may be.
        """
        return self.decision.calibration.applied(self.trees.probabilities(self.inputs.matrix(features)))
