"""What a backtest found, from its counts: rows per horizon, class, server group and cut-off. No Spark."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from batch.tested_rows import CEILING
from batch.train import FOREST
from serverload.contracts.classes import CLASSES
from serverload.model.baselines import BASELINES
from serverload.model.decision import Cost
from serverload.model.evaluation import Cells, Flags, ScoreCells, block_bootstrap_difference, scores
from serverload.model.reliability import ReliabilityCells, calibration_error, reliability_table

ALL = "all"
"""The horizon of rows that hold every horizon; the hours of those that hold every hour."""

MEASURES = ("accuracy", "macro_f1", "weighted_f1", "kappa", "rps", "log_loss", "cost", "two_step_errors")
GAINS = ("macro_f1", "log_loss", "rps")
HOURS: dict[str, Callable[[Cells], Flags]] = {
    ALL: lambda cells: np.ones_like(cells.idle),
    "without_idle": lambda cells: ~cells.idle,
    "change": lambda cells: cells.change,
}
"""The hours that are scored apart: all, those with sessions, and those whose class differs from last week's."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """The counts of some forecasts, of any number of models."""

    scores: ScoreCells
    reliability: ReliabilityCells

    def of(self, model: str) -> "Counts":
        """Those of one model."""
        return self.where(lambda cells: cells.model == model)

    def where(self, wanted: Callable[[Cells], Flags]) -> "Counts":
        """Those that a condition on what both counts have takes."""
        return Counts(self.scores.where(wanted(self.scores)), self.reliability.where(wanted(self.reliability)))

    @classmethod
    def joined(cls, parts: Sequence["Counts"]) -> "Counts":
        """All of several."""
        return cls(
            ScoreCells.joined([part.scores for part in parts]),
            ReliabilityCells.joined([part.reliability for part in parts]),
        )


@dataclass(frozen=True)
class PlainSets:
    """What split conformal, with one threshold for all classes, says of the forest's rows after a cut-off."""

    rows: int
    covered: int
    size: int


@dataclass(frozen=True)
class CutoffResult:
    """One cut-off: how the forest was fitted before it, and what came of the forecasts after it."""

    cutoff: datetime
    fitted_rows: int
    fit_seconds: float
    calendar_position: bool
    counts: Counts
    split_conformal: PlainSets


@dataclass(frozen=True)
class Report:
    """All rows of a backtest; numbers that cannot be told are nan."""

    horizons: list[Row]
    classes: list[Row]
    groups: list[Row]
    cutoffs: list[Row]
    reliability: list[Row]
    confusions: list[Row]
    worse_than_farther: list[Row]

    def rows(self, view: str) -> list[Row]:
        """All columns of a view."""
        return {"horizon": self.horizons, "class": self.classes, "group": self.groups, "cutoff": self.cutoffs}[view]

    def save(self, path: Path, facts: Mapping[str, object]) -> None:
        """Write everything, and some facts first, as JSON; what cannot be told is null."""
        told = _without_nan({**facts, **asdict(self)})
        path.write_text(json.dumps(told, indent=1, allow_nan=False), encoding="utf-8")


def report(tested: Sequence[CutoffResult], cost: Cost, seed: int) -> Report:
    """The rows of all cut-offs together and apart; `cost` as in the settings, `seed` of the bootstrap."""
    counts = Counts.joined([each.counts for each in tested])
    horizons = [("horizon_hours", each, _at(counts, each)) for each in _horizons(counts)]
    names = sorted(set(counts.scores.server_group.tolist()))
    groups = [("server_group", name, _of_group(counts, name)) for name in names]
    cutoffs = [("cutoff", f"{each.cutoff:%Y-%m-%d}", each.counts) for each in tested]
    by_horizon = [row for scope in horizons for row in _scored(*scope, cost, seed)]
    return Report(
        horizons=by_horizon,
        classes=[row for _, horizon, of_scope in horizons for row in _by_class(horizon, of_scope)],
        groups=[row for scope in groups for row in _scored(*scope, cost, seed)],
        cutoffs=[
            row | {"fitted_rows": each.fitted_rows, "calendar_position": each.calendar_position}
            for each, scope in zip(tested, cutoffs, strict=True)
            for row in _scored(*scope, cost, seed)
        ],
        reliability=[
            {"model": model, **asdict(each)}
            for model in _models(counts)
            for each in reliability_table(counts.of(model).reliability)
        ],
        confusions=[
            {"horizon_hours": horizon, "model": model, "confusion": scores(of_scope.of(model).scores).confusion}
            for _, horizon, of_scope in horizons
            for model in _models(counts)
        ],
        worse_than_farther=_worse_than_farther(by_horizon),
    )


def _scored(name: str, scope: object, counts: Counts, cost: Cost, seed: int) -> list[Row]:
    """A row per model: what it scored on all hours, without idle ones and on change hours, and the forest's gains."""
    forest = counts.of(FOREST)
    rows = []
    for model in _models(counts):
        its = counts.of(model)
        row: Row = {name: scope, "model": model}
        for hours, wanted in HOURS.items():
            measured = _measured(its.where(wanted), cost)
            row |= {f"{_prefix(hours)}{measure}": number for measure, number in measured.items()}
        gains = {} if model == FOREST else block_bootstrap_difference(forest.scores, its.scores, seed=seed)
        for measure in GAINS:
            gain = gains.get(measure)
            row |= {f"{measure}_gain": gain and gain.gain}
            row |= {f"{measure}_gain_low": gain and gain.low, f"{measure}_gain_high": gain and gain.high}
        rows.append(row)
    for hours in HOURS:
        _add_gap_closed(rows, _prefix(hours))
    return rows


def _add_gap_closed(rows: Sequence[Row], prefix: str) -> None:
    """Add how much of the way in RPS from the best baseline to the ceiling each model goes; nan without a ceiling."""
    rps = {row["model"]: row[f"{prefix}rps"] for row in rows}
    best, ceiling = min(rps[name] for name in BASELINES), rps.get(CEILING, math.nan)
    for row in rows:
        way = best - ceiling
        row[f"{prefix}gap_closed"] = (best - row[f"{prefix}rps"]) / way if way > 0 else math.nan


def _measured(counts: Counts, cost: Cost) -> Row:
    found = scores(counts.scores, cost)
    measured: Row = {"rows": found.rows} | {name: getattr(found, name) for name in MEASURES}
    measured["calibration_error"] = calibration_error(counts.reliability)
    measured |= {"covered": found.covered, "set_size": found.set_size}
    for name, precision, recall in zip(CLASSES, found.precision, found.recall, strict=True):
        measured |= {f"precision_{name}": precision, f"recall_{name}": recall}
    return measured


def _by_class(horizon: object, counts: Counts) -> list[Row]:
    """A row per class and model: how often it came and was said, and how right that was."""
    rows = []
    for place, name in enumerate(CLASSES):
        for model in _models(counts):
            its = counts.of(model)
            for hours, wanted in HOURS.items():
                some = its.where(wanted)
                found = scores(some.scores)
                came, said = sum(found.confusion[place]), sum(row[place] for row in found.confusion)
                precision, recall = found.precision[place], found.recall[place]
                of_class = some.reliability.where(some.reliability.label == place)
                rows.append(
                    {"horizon_hours": horizon, "class": name, "model": model, "hours": hours}
                    | {"came": came, "said": said, "precision": precision, "recall": recall}
                    | {"f1": 2 * found.confusion[place][place] / (came + said) if came + said else math.nan}
                    | {"calibration_error": calibration_error(of_class), "covered": found.covered_by_class[place]}
                )
    return rows


def _worse_than_farther(by_horizon: Sequence[Row]) -> list[Row]:
    """The horizons at which the forest is right less often than at some farther one, and the best of these."""
    accuracy = {
        row["horizon_hours"]: row["accuracy"]
        for row in by_horizon
        if row["model"] == FOREST and row["horizon_hours"] != ALL
    }
    found = []
    for horizon, its in accuracy.items():
        farther = {each: other for each, other in accuracy.items() if each > horizon and other > its}
        if farther:
            best = max(farther, key=lambda each: farther[each])
            found.append(
                {"horizon_hours": horizon, "accuracy": its, "farther": best, "farther_accuracy": farther[best]}
            )
    return found


def _horizons(counts: Counts) -> list[Any]:
    return [*sorted(set(counts.scores.horizon.tolist())), ALL]


def _at(counts: Counts, horizon: object) -> Counts:
    return counts if horizon == ALL else counts.where(lambda cells: cells.horizon == horizon)


def _of_group(counts: Counts, name: str) -> Counts:
    return counts.where(lambda cells: cells.server_group == name)


def _models(counts: Counts) -> list[str]:
    there = set(np.unique(counts.scores.model).tolist())
    return [name for name in (FOREST, *BASELINES, CEILING) if name in there]


def _prefix(hours: str) -> str:
    return "" if hours == ALL else f"{hours}_"


def _without_nan(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _without_nan(entry) for name, entry in told.items()}
    if isinstance(told, list | tuple):
        return [_without_nan(entry) for entry in told]
    return None if isinstance(told, float) and math.isnan(told) else told
