"""How good forecasts were: counted once in Spark, by day, then scored from the small counts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, GroupedData
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES
from serverload.model.decision import PLAIN_COST, Cost
from serverload.model.forecasting import PROBABILITIES
from serverload.steps.feature_frames import workload_class_column

SMALLEST_PROBABILITY = 1e-15
"""A class that came with probability 0 costs the log-loss of this one, 34.5, and not infinity."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_NOT_TOLD = {"change": False, "server_group": ""}
"""What stands for columns that need not be told."""


@dataclass(frozen=True)
class Cells:
    """Counts of forecasts as arrays of equal length, by model, horizon, idle target, change hour and server group."""

    model: NDArray[np.str_]
    horizon: Integers
    idle: Flags
    change: Flags
    server_group: NDArray[np.str_]

    def of(self, model: str, horizon: int | None = None, *, idle_too: bool = True) -> Self:
        """The entries of one model at one horizon or at all, all targets or only those that were not idle."""
        wanted = (self.model == model) & (idle_too | ~self.idle)
        return self.where(wanted if horizon is None else wanted & (self.horizon == horizon))

    def where(self, wanted: Flags) -> Self:
        """The entries that a flag for each of them names."""
        return replace(self, **{each.name: getattr(self, each.name)[wanted] for each in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The entries of several counts, one after the other; one part at least."""
        names = (each.name for each in fields(cls))
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @classmethod
    def counted(cls, grouped: DataFrame) -> Self:
        """Bring counts to the driver; columns are named as the fields."""
        rows = grouped.toArrow()
        texts = {"model", "server_group"}
        columns: dict[str, Any] = {
            each.name: np.array(rows[each.name].to_pylist(), dtype=np.str_)
            if each.name in texts
            else rows[each.name].to_numpy()
            for each in fields(cls)
        }
        return cls(**columns)


@dataclass(frozen=True)
class ScoreCells(Cells):
    """One entry also for each UTC day, actual class and class said.

    `label` and `said` are positions in CLASSES, `day` is days since 1970; `log_loss` and `rps` are sums over `rows`.
    `sets` of the rows had a prediction set, `covered` of these held what came, `set_size` is the sum of their sizes.
    """

    day: Integers
    label: Integers
    said: Integers
    rows: Integers
    log_loss: Floats
    rps: Floats
    sets: Integers
    covered: Integers
    set_size: Integers


@dataclass(frozen=True)
class Scores:
    """How good a set of forecasts was; per-class tuples in the order of CLASSES, nan where nothing can be told.

    `confusion[actual][said]` counts rows. `rps` is the ranked probability score, from 0 to 1, the lower the better;
    `kappa` is quadratic-weighted; `two_step_errors` is the share of rows told low that came high, or high that came
    low; `cost` is the average over the rows; `covered` is the share of prediction sets that held what came (in
    `covered_by_class` by the class that came), and `set_size` their mean size.
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
    kappa: float = float("nan")
    two_step_errors: float = float("nan")
    cost: float = float("nan")
    covered: float = float("nan")
    set_size: float = float("nan")
    covered_by_class: tuple[float, ...] = ()


@dataclass(frozen=True)
class Gain:
    """How much better a model was than another, above 0 where it was: the difference and its 95 % interval."""

    gain: float
    low: float
    high: float


def score_cells(forecasts: DataFrame) -> ScoreCells:
    """Count forecasts that came true or not, in one Spark job; only the counts reach the driver.

    `forecasts`: `model`, `horizon_hours`, `target_hour`, `idle`, `label`, `workload_class` and the probabilities; also
    `change` and `server_group`, if they are to be told apart, and `prediction_set`, if there are any. Their number is
    bounded by models x horizons x days x groups x 36, whatever the number of servers.
    """
    known = sf.col("prediction_set") if "prediction_set" in forecasts.columns else sf.lit(None).cast("string")
    classes = sf.split(known, ",")
    grouped = grouped_forecasts(
        forecasts,
        sf.floor(sf.unix_seconds("target_hour") / 86400).alias("day"),
        _position("label").alias("label"),
        _position("workload_class").alias("said"),
    ).agg(
        sf.count("*").alias("rows"),
        sf.sum(_log_loss()).alias("log_loss"),
        sf.sum(ranked_probability_score("label")).alias("rps"),
        sf.count(known).alias("sets"),
        sf.count_if(sf.array_contains(classes, sf.col("label"))).alias("covered"),
        sf.coalesce(sf.sum(sf.when(known != "", sf.size(classes))), sf.lit(0)).cast("bigint").alias("set_size"),
    )
    return ScoreCells.counted(grouped)


def grouped_forecasts(forecasts: DataFrame, *more: Column | str) -> GroupedData:
    """Forecasts grouped by what all cells have, and by more."""
    told = forecasts.withColumns({name: sf.lit(to) for name, to in _NOT_TOLD.items() if name not in forecasts.columns})
    horizon = sf.col("horizon_hours").cast("bigint").alias("horizon")
    return told.groupBy("model", horizon, "idle", "change", "server_group", *more)


def change_hour(*, low_max: float, medium_max: float) -> Column:
    """Whether an hour's label differs from the class of the same hour last week; where that is unknown, it does not."""
    last_week = workload_class_column(sf.col("same_hour_1w"), low_max=low_max, medium_max=medium_max)
    return sf.coalesce(last_week != sf.col("label"), sf.lit(False))


def scores(cells: ScoreCells, cost: Cost = PLAIN_COST) -> Scores:
    """Score the forecasts of some cells. Macro-F1 is the mean over the classes that came or were said."""
    confusion = _confusions(cells, np.zeros_like(cells.day), 1)[0]
    rows = int(confusion.sum())
    hits, actual, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    sets, covered = (np.bincount(cells.label, count, len(CLASSES)) for count in (cells.sets, cells.covered))
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
            kappa=weighted_kappa(confusion),
            two_step_errors=float((confusion[0, -1] + confusion[-1, 0]) / np.float64(rows)),
            cost=float((confusion * cost).sum() / np.float64(rows)),
            covered=float(covered.sum() / sets.sum()),
            set_size=float(cells.set_size.sum() / sets.sum()),
            covered_by_class=tuple(map(float, covered / sets)),
        )


def weighted_kappa(confusion: Floats) -> float:
    """Cohen's kappa with quadratic weights: 1 is perfect, 0 as good as chance; nan where chance makes no mistake."""
    place = np.arange(len(confusion))
    weights = (place[:, None] - place) ** 2
    by_chance = np.outer(confusion.sum(axis=1), confusion.sum(axis=0)) / max(1, confusion.sum())
    expected = (weights * by_chance).sum()
    return float(1 - (weights * confusion).sum() / expected) if expected else float("nan")


def macro_f1(confusions: Floats) -> Floats:
    """Macro-F1 of each confusion matrix (shape n x 3 x 3): the mean over the classes that came or were said."""
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    seen = confusions.sum(axis=1) + confusions.sum(axis=2)
    f1 = np.where(seen > 0, 2 * hits / np.maximum(seen, 1), 0.0)
    return np.asarray(f1.sum(axis=1) / np.maximum((seen > 0).sum(axis=1), 1), dtype=np.float64)


def block_bootstrap_difference(
    model: ScoreCells, other: ScoreCells, *, draws: int = 2000, seed: int = 42
) -> dict[str, Gain]:
    """Gain of a model over another on the same rows in `macro_f1`, `log_loss` and `rps` (the other's less the model's).

    Blocks are the UTC days of the targets, drawn with replacement and the same for both: hours of one day share
    their luck, so drawing single rows would make the interval far too narrow.
    """
    days = np.unique(np.concatenate((model.day, other.day)))
    drawn = np.random.default_rng(seed).multinomial(len(days), np.full(len(days), 1 / len(days)), size=draws)
    weights = np.vstack((np.ones(len(days)), drawn)).astype(np.float64)
    ours, theirs = (_resampled(cells, days, weights) for cells in (model, other))
    gains = {"macro_f1": ours[0] - theirs[0], "log_loss": theirs[1] - ours[1], "rps": theirs[2] - ours[2]}
    return {
        name: Gain(float(gain[0]), *map(float, np.percentile(gain[1:], (2.5, 97.5)))) for name, gain in gains.items()
    }


def _resampled(cells: ScoreCells, days: Integers, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Macro-F1, mean log-loss and mean RPS for each row of day weights."""
    day = np.searchsorted(days, cells.day)
    confusions = np.tensordot(weights, _confusions(cells, day, len(days)), axes=1)
    rows = np.maximum(confusions.sum(axis=(1, 2)), 1)
    log_losses, rps = (weights @ np.bincount(day, loss, len(days)) for loss in (cells.log_loss, cells.rps))
    return macro_f1(confusions), log_losses / rows, rps / rows


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
