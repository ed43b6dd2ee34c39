"""From columns of `features` to the inputs of a forest, as its Spark pipeline prepares them; numpy and Polars alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.errors import InputError
from serverload.contracts.feature_columns import UNKNOWN_LOAD

Floats = NDArray[np.float64]

_FLAG = "missing_"


@dataclass(frozen=True, eq=False)
class FlatInputs:
    """The preparation of a fitted pipeline: input columns are the scaled loads, the numbers, a column per category.

    An unknown load counts as UNKNOWN_LOAD. `labels` are the values of each category, in the order of their columns;
    one more column of each stands for any other value.
    """

    loads: tuple[str, ...]
    deviations: Floats
    numbers: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]

    @property
    def features(self) -> tuple[str, ...]:
        """The features that reasons are told by: all but the flags of missing loads, which go with their load."""
        return tuple(dict.fromkeys(self.owners))

    @property
    def owners(self) -> tuple[str, ...]:
        """The feature behind each input column."""
        numbers = [name.removeprefix(_FLAG) for name in self.numbers]
        categories = [name for name, labels in self.labels.items() for _ in range(len(labels) + 1)]
        return (*self.loads, *numbers, *categories)

    def matrix(self, features: pl.DataFrame) -> Floats:
        """The inputs of each row, shape (n, columns); NaN is taken for unknown.

        Raises InputError for a column that is not there, or a value other than a load that is unknown.
        """
        self._check(features)
        return np.hstack([self._scaled_loads(features), _doubles(features, self.numbers), *self._coded(features)])

    def _check(self, features: pl.DataFrame) -> None:
        needed = dict.fromkeys((*self.loads, *self.numbers, *self.labels))
        absent = [name for name in needed if name not in features.columns]
        if absent:
            raise InputError(f"no column {', '.join(absent[:3])}", where="features")
        unknown = [name for name in self.numbers if features[name].null_count()]
        if unknown:
            raise InputError(f"{unknown[0]} is unknown in a row", where="features", hint="only loads may be")

    def _scaled_loads(self, features: pl.DataFrame) -> Floats:
        loads = _doubles(features, self.loads)
        known = np.where(np.isnan(loads), UNKNOWN_LOAD, loads)
        # Spark multiplies by the inverse: dividing gives other last bits, and a value at a cut goes the other way
        constant = self.deviations == 0
        return np.asarray(known * np.where(constant, 0.0, 1 / np.where(constant, 1.0, self.deviations)))

    def _coded(self, features: pl.DataFrame) -> list[Floats]:
        """A column per label of each category, and one for all else."""
        coded = []
        for name, labels in self.labels.items():
            values = features[name].cast(pl.String).to_numpy()
            known = values[:, None] == np.array(labels, dtype=object)
            coded.append(np.hstack([known, ~known.any(axis=1, keepdims=True)]).astype(np.float64))
        return coded


def _doubles(features: pl.DataFrame, names: tuple[str, ...]) -> Floats:
    """Columns as doubles, shape (n, names); NaN where they are null."""
    return features.select(pl.col(names).cast(pl.Float64)).to_numpy()
