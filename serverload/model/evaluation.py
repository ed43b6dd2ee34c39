"""How good forecasts were: counted once in Spark, by day, then scored from the small counts."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES
from serverload.model.forecasting import PROBABILITIES

SMALLEST_PROBABILITY = 1e-15
"""A class that came with probability 0 costs the log-loss of this one, 34.5, and not infinity."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ScoreCells:
    """Counts of forecasts, one entry per model, horizon, UTC day, idle target, actual class and class said.

    `label` and `said` are positions in CLASSES, `day` is days since 1970; `log_loss` and `rps` are sums over `rows`.
    """

    model: NDArray[np.str_]
    horizon: Integers
    day: Integers
    idle: NDArray[np.bool_]
    label: Integers
    said: Integers
    rows: Integers
    log_loss: Floats
    rps: Floats

    def of(self, model: str, horizon: int, *, idle_too: bool = True) -> "ScoreCells":
        """The entries of one model and horizon, all targets or only those that were not idle."""
        kept = (self.model == model) & (self.horizon == horizon) & (idle_too | ~self.idle)
        return replace(self, **{name: getattr(self, name)[kept] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Scores:
    """How good a set of forecasts was; per-class tuples in the order of CLASSES, nan where nothing can be told.

    `confusion[actual][said]` counts rows. `rps` is the ranked probability score, from 0 to 1, the lower the better.
    """

    rows: int
    macro_f1: float
    weighted_f1: float
    accuracy: float
    log_loss: float
    rps: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Gain:
    """How much better a model was than another, above 0 where it was: the difference and its 95 % interval."""

    gain: float
    low: float
    high: float


def score_cells(forecasts: DataFrame) -> ScoreCells:
    """Count forecasts that came true or not, in one Spark job; only the counts reach the driver.

    `forecasts`: `model`, `horizon_hours`, `target_hour`, `idle`, `label`, `workload_class` and the probabilities.
    Their number is bounded by models x horizons x days x 18, whatever the number of servers.
    """
    grouped = forecasts.groupBy(
        "model",
        sf.col("horizon_hours").cast("bigint").alias("horizon"),
        sf.floor(sf.unix_seconds("target_hour") / 86400).alias("day"),
        "idle",
        _position("label").alias("label"),
        _position("workload_class").alias("said"),
    ).agg(
        sf.count("*").alias("rows"),
        sf.sum(_log_loss()).alias("log_loss"),
        sf.sum(ranked_probability_score("label")).alias("rps"),
    )
    cells = grouped.toArrow()
    return ScoreCells(
        **{
            name: np.asarray(cells[name].to_numpy() if name != "model" else cells[name].to_pylist())
            for name in ScoreCells.__dataclass_fields__
        }
    )


def scores(cells: ScoreCells) -> Scores:
    """Score the forecasts of some cells. Macro-F1 is the mean over the classes that came or were said."""
    confusion = _confusions(cells, np.zeros_like(cells.day), 1)[0]
    rows = int(confusion.sum())
    hits, actual, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * hits / (actual + said)
        return Scores(
            rows=rows,
            macro_f1=float(macro_f1(confusion[None])[0]),
            weighted_f1=float(np.nansum(f1 * actual) / rows) if rows else float("nan"),
            accuracy=float(hits.sum() / np.float64(rows)),
            log_loss=float(cells.log_loss.sum() / np.float64(rows)),
            rps=float(cells.rps.sum() / np.float64(rows)),
            precision=tuple(map(float, hits / said)),
            recall=tuple(map(float, hits / actual)),
            confusion=tuple(tuple(map(int, row)) for row in confusion),
        )


def macro_f1(confusions: Floats) -> Floats:
    """Macro-F1 of each confusion matrix (shape n x 3 x 3): the mean over the classes that came or were said."""
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    seen = confusions.sum(axis=1) + confusions.sum(axis=2)
    f1 = np.where(seen > 0, 2 * hits / np.maximum(seen, 1), 0.0)
    return np.asarray(f1.sum(axis=1) / np.maximum((seen > 0).sum(axis=1), 1), dtype=np.float64)


def block_bootstrap_difference(
    model: ScoreCells, other: ScoreCells, *, draws: int = 2000, seed: int = 42
) -> dict[str, Gain]:
    """Gain of a model over another in `macro_f1` and `log_loss` (the other's less the model's), on the same rows.

    Blocks are the UTC days of the targets, drawn with replacement and the same for both: hours of one day share
    their luck, so drawing single rows would make the interval far too narrow.
    """
    days = np.unique(np.concatenate((model.day, other.day)))
    drawn = np.random.default_rng(seed).multinomial(len(days), np.full(len(days), 1 / len(days)), size=draws)
    weights = np.vstack((np.ones(len(days)), drawn)).astype(np.float64)
    ours, theirs = (_resampled(cells, days, weights) for cells in (model, other))
    gains = {"macro_f1": ours[0] - theirs[0], "log_loss": theirs[1] - ours[1]}
    return {
        name: Gain(float(gain[0]), *map(float, np.percentile(gain[1:], (2.5, 97.5)))) for name, gain in gains.items()
    }


def _resampled(cells: ScoreCells, days: Integers, weights: Floats) -> tuple[Floats, Floats]:
    """Macro-F1 and mean log-loss for each row of day weights."""
    day = np.searchsorted(days, cells.day)
    confusions = np.tensordot(weights, _confusions(cells, day, len(days)), axes=1)
    losses = weights @ np.bincount(day, cells.log_loss, len(days))
    return macro_f1(confusions), losses / np.maximum(confusions.sum(axis=(1, 2)), 1)


def _confusions(cells: ScoreCells, block: Integers, blocks: int) -> Floats:
    """Confusion matrices (actual x said) per block, shape blocks x 3 x 3."""
    counts = np.zeros((blocks, len(CLASSES), len(CLASSES)))
    np.add.at(counts, (block, cells.label, cells.said), cells.rows)
    return counts


def _position(name: str) -> Column:
    return (sf.array_position(sf.array(*map(sf.lit, CLASSES)), sf.col(name)) - 1).cast("bigint")


def _log_loss() -> Column:
    of_label = zip(CLASSES, PROBABILITIES, strict=True)
    came = sf.coalesce(*(sf.when(sf.col("label") == name, sf.col(probability)) for name, probability in of_label))
    return -sf.log(sf.greatest(came, sf.lit(SMALLEST_PROBABILITY)))


def ranked_probability_score(label: str) -> Column:
    """Squared distance of the cumulated probabilities from what came, over the number of class borders: 0 to 1."""
    low, medium = (sf.col(name) for name in PROBABILITIES[:2])
    below = [(sf.col(label) == CLASSES[0]).cast("double"), (sf.col(label) != CLASSES[2]).cast("double")]
    return (sf.pow(low - below[0], 2) + sf.pow(low + medium - below[1], 2)) / 2
