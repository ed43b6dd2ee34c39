"""Tune: try settings of the forest on folds of time, each trial a run of its own below the training's."""

import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise, product

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch.fitting import calibration_days, fitted_forest, mean_rps, uses_calendar_position
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Progress
from serverload.contracts.settings import ModelSettings
from serverload.store.runs import TRIAL, JobRun, job_run
from serverload.store.tracking import Tracking

FOLDS = 3
SPACE: dict[str, tuple[object, ...]] = {
    "trees": (30, 60, 120),
    "depth": (6, 8, 10, 12),
    "min_rows_per_leaf": (1, 5, 20, 50),
    "feature_subset": ("sqrt", "onethird"),
    "calendar_position": ("off", "on"),
}
"""The settings of the forest that are tried, beside those that are given."""


@dataclass(frozen=True)
class TuningBounds:
    """What is tried, trials at most, no fit begun after so many minutes, and how many run side by side.

    The settings that are given are tried in any case.
    """

    trials: int = 20
    minutes: float = 60.0
    parallel: int = 2
    space: Mapping[str, tuple[object, ...]] = field(default_factory=lambda: SPACE)


@dataclass(frozen=True)
class Fold:
    """Fit on targets before `start`, score those from it on and before `end`."""

    start: datetime
    end: datetime


def tuned_settings(
    rows: DataFrame,
    settings: ModelSettings,
    bounds: TuningBounds,
    *,
    first: datetime,
    end: datetime,
    tracking: Tracking,
    parent: JobRun,
    progress: Progress,
) -> ModelSettings:
    """The settings with the lowest mean ranked probability score over the folds; those given come first of equals.

    Folds lie one after another at the end of `first .. end`, each fitted on all that lies before it. Raises
    InputError where the history is too short for folds.
    """
    days = calibration_days(settings, first, end)
    folds = time_folds(end, days)
    if rows.where(sf.col("target_hour") < sf.lit(folds[0].start)).isEmpty():
        raise InputError(f"too little history for {FOLDS} folds of {days:g} days", where="--tune", hint="train without")
    end_of_trials, scores = time.monotonic() + bounds.minutes * 60, dict[int, float]()
    trials = list(drawn_trials(settings, bounds))
    progress.step("tune", len(trials), "trials")

    def tried(index: int) -> None:
        def over() -> bool:
            return index > 0 and time.monotonic() > end_of_trials

        if over():
            return
        changed = {name: getattr(trials[index], name) for name in bounds.space}
        with job_run(tracking, TRIAL, changed, parent=parent) as run:
            by_fold = list[float]()
            for number, fold in enumerate(folds):
                if over():
                    return
                by_fold.append(_fold_score(rows, trials[index], fold, first))
                run.note_metrics({f"fold{number}_rps": by_fold[-1]})
            scores[index] = sum(by_fold) / FOLDS
            run.note_key_metrics({"rps": scores[index]})
        progress.advance(1)

    with ThreadPoolExecutor(bounds.parallel) as pool:
        list(pool.map(tried, range(len(trials))))
    best = min(scores, key=lambda index: (scores[index], index))
    parent.note_metrics({"trials": float(len(scores)), "tuned_rps": scores[best], "untuned_rps": scores[0]})
    return trials[best]


def time_folds(end: datetime, days: float) -> list[Fold]:
    """The folds, the oldest first: as many days each, the last one up to `end`."""
    edges = [end - timedelta(days=days * back) for back in range(FOLDS, -1, -1)]
    return [Fold(start, until) for start, until in pairwise(edges)]


def drawn_trials(settings: ModelSettings, bounds: TuningBounds) -> Iterator[ModelSettings]:
    """The settings as they are, then others of the space in an order drawn by the seed, none twice."""
    yield settings
    space = bounds.space
    given = {name: getattr(settings, name) for name in space}
    others = [each for chosen in product(*space.values()) if (each := dict(zip(space, chosen, strict=True))) != given]
    for changed in random.Random(settings.seed).sample(others, min(bounds.trials - 1, len(others))):
        yield settings.model_copy(update=changed)


def _fold_score(rows: DataFrame, settings: ModelSettings, fold: Fold, first: datetime) -> float:
    """Mean ranked probability score of the days of a fold, by a forest that knows only what was before."""
    before = rows.where(sf.col("target_hour") < sf.lit(fold.start))
    position = uses_calendar_position(settings, first, fold.start)
    pipeline, _count = fitted_forest(before, settings, calendar_position=position)
    within = (sf.col("target_hour") >= sf.lit(fold.start)) & (sf.col("target_hour") < sf.lit(fold.end))
    return mean_rps(rows.where(within), pipeline)
