"""Backtest: fit at rolling cut-offs on what came before, test on the days after, beside the baselines."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch.backtest_record import note_report
from batch.backtest_report import Counts, CutoffResult, PlainSets, Report, report
from batch.cutoffs import HistoryDays, history_days, rolling_cutoffs
from batch.fitting import FittedModel, fitted_model
from batch.tested_rows import ceiling_forecasts, named_groups, tested_rows, truth_rows, with_truth
from batch.train import FOREST
from batch.train_data import labelled_rows, learned_horizons, without_rows
from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.model.baselines import Baselines, fit_baselines
from serverload.model.evaluation import score_cells
from serverload.model.forecasting import PROBABILITIES, prediction_set, scored_rows
from serverload.model.reliability import reliability_cells
from serverload.steps.servers import server_groups
from serverload.store.delta_tables import DeltaTables
from serverload.store.runs import job_run
from serverload.store.tracking import Tracking

_KEYS = ("target_hour", "horizon_hours", "idle", "change", "server_group", "label")
_OF_LABEL = tuple(zip(CLASSES, PROBABILITIES, strict=True))
_SCORED = (*_KEYS, "model", "workload_class", *PROBABILITIES)


@dataclass(frozen=True)
class BacktestResult:
    """What a backtest found, where it is recorded, and where it has cut."""

    run_id: str
    report: Report
    facts: dict[str, Any]


@dataclass(frozen=True)
class History:
    """All that a backtest reads, each table as it stood when it began."""

    rows: DataFrame
    hourly: DataFrame
    servers: DataFrame
    truth: DataFrame | None
    days: HistoryDays
    testable: HistoryDays
    """Of the rows whose truth is known, where one is given; else as `days`."""


def backtest(
    tables: DeltaTables, settings: Settings, tracking: Tracking, progress: Progress, *, truth: str | None = None
) -> BacktestResult:
    """Test the model as `train` would fit it, and every baseline, at each cut-off; `features` must be up to date.

    `truth`: the file of true probabilities beside generated data; only hours that it knows are tested then, and it is
    a further model, the ceiling. Recorded as an MLflow run; nothing is registered. Raises InputError where the history
    has no room for a cut-off, or the truth is of other data.
    """
    with job_run(tracking, "backtest", _parameters(settings, truth)) as run:
        progress.step("read features")
        history = read_history(tables, settings, truth)
        wanted, step_days = settings.backtest.cutoffs, settings.backtest.step_days
        cutoffs = rolling_cutoffs(history.testable, history.days.start, wanted=wanted, step_days=step_days)
        if len(cutoffs) < wanted:
            progress.say(f"room for {len(cutoffs)} of {wanted} cut-offs")
        run.note_data(rows=sum(history.days.rows.values()), first=history.days.first_target, last=history.days.end)
        tested = list(_tested(history, cutoffs, settings, progress))
        progress.step("score")
        found = report(tested, settings.model.cost, settings.model.seed)
        facts = _facts(history, tested, settings)
        progress.step("record")
        note_report(run, found, facts)
    return BacktestResult(run.run_id, found, facts)


def read_history(tables: DeltaTables, settings: Settings, truth: str | None) -> History:
    """The labelled rows of whole days at the horizons to test, and what belongs to them. Raises InputError."""
    if tables.version("features") < 0:
        raise InputError("there are no features", where=tables.home, hint="run `serverload backfill` first")
    horizons = learned_horizons(settings.model)
    rows = labelled_rows(tables.read("features"), horizons)
    days = history_days(rows)
    if days is None:
        raise without_rows(horizons)
    known = truth_rows(tables.spark, truth) if truth else None
    testable = history_days(with_truth(rows, known)) if known else days
    if testable is None:
        raise InputError("knows none of the hours of this history", where=truth or "", hint="is it of these data?")
    return History(rows, tables.read("hourly_load"), tables.read("servers"), known, days, testable)


def fitted_at(
    history: History, cutoff: datetime, settings: Settings, progress: Progress
) -> tuple[FittedModel, Baselines]:
    """The forest as `train` fits it and the baselines, on the rows with a target before the cut-off and no other."""
    before = history.rows.where(sf.col("target_hour") < sf.lit(cutoff))
    when = {"first": history.days.first_target, "end": cutoff}
    fitted = fitted_model(before, server_groups(history.servers), settings.model, **when, progress=progress)
    classes = settings.classes
    return fitted, fit_baselines(before, low_max=classes.low_max, medium_max=classes.medium_max)


def _tested(
    history: History, cutoffs: tuple[datetime, ...], settings: Settings, progress: Progress
) -> Iterator[CutoffResult]:
    """Each cut-off in turn; what one has cached is freed before the next."""
    groups, step = named_groups(server_groups(history.servers)), timedelta(days=settings.backtest.step_days)
    for number, cutoff in enumerate(cutoffs, start=1):
        progress.step(f"cut-off {number} of {len(cutoffs)}: {cutoff:%Y-%m-%d}")
        fitted, baselines = fitted_at(history, cutoff, settings, progress)
        progress.step(f"test on the {step.days} days from {cutoff:%Y-%m-%d} on")
        try:
            found = _counts(_test(history, groups, cutoff, cutoff + step, settings), fitted, baselines)
        finally:
            baselines.release()
        yield CutoffResult(cutoff, fitted.rows, fitted.seconds, fitted.calendar_position, *found)


def _test(history: History, groups: DataFrame, first: datetime, end: datetime, settings: Settings) -> DataFrame:
    """The rows with a target from `first` on and before `end`."""
    target, classes = sf.col("target_hour"), settings.classes
    rows = history.rows.where((target >= sf.lit(first)) & (target < sf.lit(end)))
    hourly = history.hourly.where(sf.col("month").between(f"{first:%Y-%m}", f"{end:%Y-%m}"))
    test = tested_rows(rows, hourly, groups, low_max=classes.low_max, medium_max=classes.medium_max)
    return test if history.truth is None else with_truth(test, history.truth)


def _counts(test: DataFrame, fitted: FittedModel, baselines: Baselines) -> tuple[Counts, PlainSets]:
    """What every model says of the same rows, counted; the rows are read once."""
    test = test.persist()
    said = scored_rows(test, fitted.pipeline, fitted.decision).withColumn("model", sf.lit(FOREST))
    chances = map(sf.col, PROBABILITIES)
    sets = prediction_set(fitted.decision.thresholds, sf.col("workload_class"), sf.col("server_group"), *chances)
    others = baselines.forecasts(test).select(*_SCORED)
    if "true_probability_low" in test.columns:
        others = others.unionByName(ceiling_forecasts(test).select(*_SCORED))
    forest = said.withColumn("prediction_set", sets).select(*_SCORED, "prediction_set")
    forecasts = forest.unionByName(others, allowMissingColumns=True)
    forecasts = forecasts.persist()
    try:
        plain = split_conformal_sets(forecasts, fitted.split_threshold)
        return Counts(score_cells(forecasts), reliability_cells(forecasts)), plain
    finally:
        forecasts.unpersist()
        test.unpersist()


def split_conformal_sets(forecasts: DataFrame, threshold: float) -> PlainSets:
    """Of the forest's rows: how many, whose label reaches the threshold, and how many classes do."""
    reach = {name: sf.col(name) >= threshold for name in PROBABILITIES}
    came = sf.coalesce(*(sf.when(sf.col("label") == name, reach[chance]) for name, chance in _OF_LABEL))
    size = reduce(operator.add, (each.cast("int") for each in reach.values()))
    counts = (sf.count("*"), sf.count_if(came), sf.coalesce(sf.sum(size), sf.lit(0)))
    return PlainSets(*map(int, forecasts.where(sf.col("model") == FOREST).agg(*counts).collect()[0]))


def _parameters(settings: Settings, truth: str | None) -> dict[str, object]:
    return {
        **settings.model.model_dump(exclude={"name", "tracking_uri"}),
        **settings.classes.model_dump(),
        **settings.backtest.model_dump(),
        "truth": truth or "",
    }


def _facts(history: History, tested: list[CutoffResult], settings: Settings) -> dict[str, Any]:
    """What must be known to read the report."""
    step = timedelta(days=settings.backtest.step_days)
    rows, in_truth = (
        sum(days.rows_between(each.cutoff, each.cutoff + step) for each in tested)
        for days in (history.days, history.testable)
    )
    return {
        "first_target": f"{history.days.first_target:%Y-%m-%dT%H:%MZ}",
        "test_end": f"{history.testable.end:%Y-%m-%dT%H:%MZ}",
        "cutoffs": [f"{each.cutoff:%Y-%m-%d}" for each in tested],
        "step_days": settings.backtest.step_days,
        "tested_rows": in_truth,
        "rows_not_in_truth": rows - in_truth,
        "cost": settings.model.cost,
        "split_conformal": {
            "covered": sum(each.split_conformal.covered for each in tested) / in_truth,
            "set_size": sum(each.split_conformal.size for each in tested) / in_truth,
        },
    }
