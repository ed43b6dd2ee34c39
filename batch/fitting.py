"""Fit a model on rows of `features`: the forest, and what becomes of its probabilities."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch.train_data import sampled
from serverload.contracts.classes import CLASSES
from serverload.contracts.progress import Progress
from serverload.contracts.settings import ModelSettings
from serverload.model.calibration import BINS as ODDS_BINS
from serverload.model.calibration import Calibration, bin_of, fitted_calibration, log_odds
from serverload.model.decision import Decision
from serverload.model.evaluation import ranked_probability_score
from serverload.model.forecasting import (
    COLUMN_ARITHMETIC,
    PROBABILITIES,
    calibrated,
    scored_rows,
    set_cells,
)
from serverload.model.pipeline import forest_pipeline
from serverload.model.prediction_sets import split_threshold, thresholds_by_group

LONG_HISTORY_DAYS = 400
"""From here on a history has seen each part of the year, and where in the calendar a day lies may tell something."""

_LARGEST_CALIBRATION_SHARE = 5


@dataclass(frozen=True)
class FittedModel:
    """A fitted pipeline with its decision, and how it was fitted; `split_threshold` is for comparison alone."""

    pipeline: PipelineModel
    decision: Decision
    split_threshold: float
    rows: int
    seconds: float
    calendar_position: bool


def fitted_model(
    rows: DataFrame, groups: DataFrame, settings: ModelSettings, *, first: datetime, end: datetime, progress: Progress
) -> FittedModel:
    """Fit on labelled rows of `features` with targets in `first .. end`, sampled as the settings say.

    A forest fitted without the newest days tells from these how probabilities are to be calibrated and what thresholds
    the prediction sets need; then the forest is fitted on all rows. `groups`: `server_ip` and `server_group`.
    """
    begun = time.monotonic()
    position = uses_calendar_position(settings, first, end)
    held_from = end - timedelta(days=calibration_days(settings, first, end))
    before, held = (
        rows.where(sf.col("target_hour") < sf.lit(held_from)),
        rows.where(sf.col("target_hour") >= sf.lit(held_from)),
    )
    progress.step("fit without the newest days, to calibrate on them")
    without_newest, _rows = fitted_forest(before, settings, calendar_position=position)
    decision, split = decision_on(held, groups, without_newest, settings)
    progress.step(f"fit {settings.trees} trees")
    pipeline, count = fitted_forest(rows, settings, calendar_position=position)
    return FittedModel(pipeline, decision, split, count, time.monotonic() - begun, position)


def fitted_forest(rows: DataFrame, settings: ModelSettings, *, calendar_position: bool) -> tuple[PipelineModel, int]:
    """The pipeline fitted on a sample of the rows, and how many these were."""
    pipeline = forest_pipeline(
        settings.feature_set,
        trees=settings.trees,
        depth=settings.depth,
        seed=settings.seed,
        min_rows_per_leaf=settings.min_rows_per_leaf,
        feature_subset=settings.feature_subset,
        calendar_position=calendar_position,
    )
    chosen = sampled(rows, settings).persist()
    try:
        return pipeline.fit(chosen), chosen.count()
    finally:
        chosen.unpersist()


def mean_rps(rows: DataFrame, pipeline: PipelineModel) -> float:
    """Mean ranked probability score of a pipeline's bare probabilities on labelled rows."""
    return float(scored_rows(rows, pipeline).agg(sf.avg(ranked_probability_score("label"))).collect()[0][0])


def uses_calendar_position(settings: ModelSettings, first: datetime, end: datetime) -> bool:
    """Whether year, month, week, day of month and trend are inputs for a history of this length."""
    if settings.feature_set == "article" or settings.calendar_position == "on":
        return True
    return settings.calendar_position == "auto" and end - first >= timedelta(days=LONG_HISTORY_DAYS)


def calibration_days(settings: ModelSettings, first: datetime, end: datetime) -> int:
    """How many of the newest days are held back at first: as set, but no more than a fifth of all, and one at least."""
    return max(1, min(settings.calibration_days, (end - first) // timedelta(days=1) // _LARGEST_CALIBRATION_SHARE))


def decision_on(
    held: DataFrame, groups: DataFrame, pipeline: PipelineModel, settings: ModelSettings
) -> tuple[Decision, float]:
    """Calibration and thresholds from rows that the pipeline was not fitted on, and split conformal's threshold.

    Only counts reach the driver.
    """
    scored = scored_rows(held, pipeline).select("server_ip", "target_hour", "label", *PROBABILITIES).persist()
    try:
        calibration = _calibration(scored) if settings.calibration == "auto" else Calibration()
        given = _given(calibrated(scored, calibration), groups)
        cells = set_cells(given, sf.col("label"))
    finally:
        scored.unpersist()
    thresholds = thresholds_by_group(cells, settings.coverage)
    decision = Decision(calibration, settings.cost, settings.coverage, thresholds)
    return decision, split_threshold(cells, settings.coverage)


def _calibration(scored: DataFrame) -> Calibration:
    """Counted once: rows by day, border and bin of log-odds, and those of them that came at or below the border."""
    low, medium = (sf.col(name) for name in PROBABILITIES[:2])
    borders = [
        sf.struct(sf.lit(border).alias("border"), chance.alias("chance"), came.cast("int").alias("came"))
        for border, chance, came in (
            (0, low, sf.col("label") == CLASSES[0]),
            (1, low + medium, sf.col("label") != CLASSES[2]),
        )
    ]
    each = scored.select(
        sf.floor(sf.unix_seconds("target_hour") / 86400).alias("day"), sf.explode(sf.array(*borders)).alias("at")
    )
    odds = sf.floor(bin_of(log_odds(sf.col("at.chance"), COLUMN_ARITHMETIC)))
    cells = each.groupBy("day", "at.border", odds.alias("bin")).agg(sf.count("*"), sf.sum("at.came")).collect()
    days = {day: index for index, day in enumerate(sorted({cell[0] for cell in cells}))}
    rows, came = np.zeros((2, len(days), 2, ODDS_BINS))
    for day, border, bin_number, count, below in cells:
        place = (days[day], border, min(max(int(bin_number), 0), ODDS_BINS - 1))
        rows[place], came[place] = rows[place] + count, came[place] + below
    return fitted_calibration(rows, came)


def _given(scored: DataFrame, groups: DataFrame) -> DataFrame:
    """`server_group`, `label`, and the probability `given` to the class that came."""
    of_label = zip(CLASSES, PROBABILITIES, strict=True)
    given = sf.coalesce(*(sf.when(sf.col("label") == name, sf.col(chance)) for name, chance in of_label))
    group = sf.coalesce("server_group", sf.lit("")).alias("server_group")
    rows = scored.join(sf.broadcast(groups), "server_ip", "left")
    return rows.select(group, "label", given.alias("given"))
