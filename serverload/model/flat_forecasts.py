"""Forecasts without Spark: what `forecasting.forecast_rows` issues for the same features, by numpy and Polars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES
from serverload.model.decision import Cost, Decision
from serverload.model.flat_forest import FlatForest
from serverload.model.prediction_sets import Thresholds

Floats = NDArray[np.float64]

MODEL, CLIMATOLOGY, NONE = BASES = ("model", "climatology", "none")
"""What a forecast can rest on, as column `basis` tells it."""

PROBABILITIES: tuple[str, ...] = tuple(f"probability_{name}" for name in CLASSES)

_SETS = [",".join(name for place, name in enumerate(CLASSES) if mask >> place & 1) for mask in range(1 << len(CLASSES))]


@dataclass(frozen=True, eq=False)
class OwnHistory:
    """What `own_climatology` knows beside the features of each row: class frequencies, and hours that are known."""

    frequencies: Floats
    known_hours_7d: NDArray[np.int64]
    known_hours_28d: NDArray[np.int64]


def flat_forecasts(
    forest: FlatForest,
    decision: Decision,
    features: pl.DataFrame,
    groups: Sequence[str],
    own: OwnHistory | None,
    *,
    min_known_hours: int,
) -> pl.DataFrame:
    """A row for each of `features`: `workload_class`, PROBABILITIES, `basis`, `prediction_set`.

    Where fewer than `min_known_hours` of the last 168 hours are known the server's own climatology stands in, or
    nothing; without `own` all rests on the model. `groups` names the server group of each row, for the sets. The
    thresholds and the cost are those of `decision`, the calibration that of `forest`. Raises InputError as the forest.
    """
    chances, basis = forest.probabilities(features), np.zeros(len(features), dtype=np.int64)
    if own is not None:
        basis = np.where(
            own.known_hours_7d >= min_known_hours, 0, np.where(own.known_hours_28d >= max(1, min_known_hours), 1, 2)
        )
        chances = np.where((basis == 1)[:, None], own.frequencies, chances)
    said = cheapest(decision.cost, chances)
    unknown = pl.Series(basis == BASES.index(NONE))
    columns = {
        "workload_class": pl.Series(list(CLASSES)).gather(said),
        **{name: pl.Series(chances[:, place]) for place, name in enumerate(PROBABILITIES)},
        "prediction_set": _sets(decision.thresholds, said, groups, chances),
    }
    told = pl.DataFrame(columns | {"basis": pl.Series(BASES).gather(basis)})
    return told.with_columns(pl.when(~unknown).then(pl.col(name)).alias(name) for name in columns)


def cheapest(cost: Cost, chances: Floats) -> NDArray[np.int64]:
    """Position in CLASSES of the class whose saying costs least on average; of equals the lower one."""
    expected = np.zeros((len(chances), len(CLASSES)))
    for place, row in enumerate(cost):  # added in the order of Spark's
        expected += chances[:, place, None] * np.asarray(row)
    return np.asarray(expected.argmin(axis=1))


def _sets(
    thresholds: Mapping[str, Thresholds], said: NDArray[np.int64], groups: Sequence[str], chances: Floats
) -> pl.Series:
    """The classes that reach the thresholds of the row's group, those between and the said one; or none at all."""
    if not thresholds:
        return pl.repeat(None, len(chances), dtype=pl.String, eager=True)
    names, of_row = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    limits = np.array([thresholds.get(str(name), thresholds[""]) for name in names]).reshape(-1, len(CLASSES))[of_row]
    member = chances >= limits
    member |= (said[:, None] == np.arange(len(CLASSES))) & member.any(axis=1, keepdims=True)
    member[:, 1] |= member[:, 0] & member[:, 2]
    return pl.Series(_SETS).gather(member @ (1 << np.arange(len(CLASSES))))
