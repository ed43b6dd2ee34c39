"""Train: fit one forest on the history before the newest days, test it on them, register it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.ml import PipelineModel
from pyspark.sql import functions as sf

from batch.fitting import FittedModel, fitted_forest, fitted_model, mean_rps
from batch.pictures import confusion_picture, importances_picture
from batch.tested_rows import with_idle
from batch.train_data import TrainingData, training_data
from batch.train_range import rows_in_range
from batch.tuning import TuningBounds, tuned_settings
from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Progress
from serverload.contracts.settings import ModelSettings, Settings
from serverload.model.baselines import BASELINES, CLIMATOLOGY, fit_baselines
from serverload.model.evaluation import (
    Gain,
    ScoreCells,
    Scores,
    block_bootstrap_difference,
    score_cells,
    scores,
)
from serverload.model.forecasting import PROBABILITIES, scored_rows
from serverload.model.pipeline import input_importances
from serverload.steps.servers import server_groups
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry, RegisteredModel
from serverload.store.registered_models import DECISION_TAG
from serverload.store.runs import JobRun, job_run

FOREST = "forest"
_READ_TABLES = ("features", "hourly_load")
TEST_RPS_FACT = "test_rps"
"""Fact of a version: its ranked probability score in the test by horizon, as `1:0.0312,48:0.0587`."""

_METRICS = ("macro_f1", "weighted_f1", "accuracy", "log_loss", "rps", "rows")
_SCORED = ("server_ip", "target_hour", "horizon_hours", "label", "idle")


@dataclass(frozen=True)
class Comparison:
    """One model at one horizon: its scores with and without idle targets; for a baseline, the forest's gain over it."""

    horizon_hours: int
    model: str
    scores: Scores
    scores_without_idle: Scores
    macro_f1_gain: Gain | None
    log_loss_gain: Gain | None


@dataclass(frozen=True)
class TrainResult:
    """What a training made: the registered version, what it saw, and how it compares on days it never saw."""

    model: RegisteredModel
    run_id: str
    rows: int
    fitted_rows: int
    servers: int
    first_target: datetime
    test_start: datetime
    test_end: datetime
    fit_seconds: float
    comparisons: tuple[Comparison, ...]

    def table(self) -> list[dict[str, object]]:
        """A plain row per horizon and model, for the command line: scores, and the gain of the forest at each."""
        return [table_row(comparison) for comparison in self.comparisons]


def table_row(made: Comparison) -> dict[str, object]:
    """One comparison as plain values; gains are those of the forest over this model, with their 95 % interval."""
    row: dict[str, object] = {"horizon_hours": made.horizon_hours, "model": made.model}
    row |= {name: round(getattr(made.scores, name), 4) for name in ("macro_f1", "accuracy", "log_loss", "rps")}
    row["macro_f1_without_idle"] = round(made.scores_without_idle.macro_f1, 4)
    for name, gain in (("macro_f1_gain", made.macro_f1_gain), ("log_loss_gain", made.log_loss_gain)):
        row[name] = f"{gain.gain:+.4f} ({gain.low:+.4f} .. {gain.high:+.4f})" if gain else ""
    return row


def train(
    tables: DeltaTables,
    settings: Settings,
    registry: ModelRegistry,
    progress: Progress,
    *,
    chosen_range: str = "full",
    tuning: TuningBounds | None = None,
) -> TrainResult:
    """Fit, test, record as an MLflow run, and register; `features` must be up to date.

    `chosen_range`: see `train_range`. With `tuning` the forest's settings are looked for first. Nothing of the test
    days is read before the model is fitted. Raises InputError when the history is too short,
    ModelError when the registry cannot be used; the run is then there, with status FAILED and that line.
    """
    with job_run(registry.tracking, "train", {"range": chosen_range, "tuned": tuning is not None}) as run:
        progress.step("read features")
        if tables.version("features") < 0:
            raise InputError("there are no features", where=tables.home, hint="run `serverload backfill` first")
        data = training_data(rows_in_range(tables.read("features"), chosen_range), settings.model)
        run.note_data(rows=data.rows, first=data.first_target, last=data.test_end)
        if tuning:
            when = {"first": data.first_target, "end": data.test_start}
            found = tuned_settings(
                data.all_rows, settings.model, tuning, **when, tracking=registry.tracking, parent=run, progress=progress
            )
            settings = settings.model_copy(update={"model": found})
        run.note_parameters(_parameters(settings))
        if settings.model.feature_set == "full" and max(settings.forecast.horizons) > max(data.horizons):
            progress.say(f"forecasts beyond {max(data.horizons)} h have nothing to learn from: see training_horizons")
        fitted = fitted_model(
            data.all_rows,
            server_groups(tables.read("servers")),
            settings.model,
            first=data.first_target,
            end=data.test_start,
            progress=progress,
        )
        comparisons = _compared(tables, data, fitted, settings, progress)
        if data.rows > len(data.horizons) * settings.model.max_training_rows:
            run.note_metrics(_sampling_effect(data, fitted, settings.model, progress))
        progress.step("register the model")
        facts = _facts(tables, data, fitted, settings) | {TEST_RPS_FACT: _test_rps(comparisons)}
        run.note_facts(facts)
        _note_results(run, fitted.pipeline, comparisons, {"fit_seconds": fitted.seconds, "fitted_rows": fitted.rows})
        registered = registry.register(fitted.pipeline, run.run_id, facts)
    return TrainResult(
        registered, run.run_id, data.rows, fitted.rows, data.servers,
        data.first_target, data.test_start, data.test_end, fitted.seconds, comparisons,
    )  # fmt: skip


def _compared(
    tables: DeltaTables, data: TrainingData, fitted: FittedModel, settings: Settings, progress: Progress
) -> tuple[Comparison, ...]:
    """The forest and every baseline on the test days, by horizon."""
    progress.step("test on the days kept out")
    baselines = fit_baselines(data.all_rows, low_max=settings.classes.low_max, medium_max=settings.classes.medium_max)
    in_test = sf.col("month") >= f"{data.test_start:%Y-%m}"
    test = with_idle(data.test, tables.read("hourly_load").where(in_test)).persist()
    try:
        forest = scored_rows(test, fitted.pipeline, fitted.decision).withColumn("model", sf.lit(FOREST))
        columns = [*_SCORED, "model", "workload_class", *PROBABILITIES]
        cells = score_cells(forest.select(*columns).unionByName(baselines.forecasts(test).select(*columns)))
    finally:
        test.unpersist()
        baselines.release()
    return _comparisons(cells, settings.model.seed)


def _sampling_effect(
    data: TrainingData, fitted: FittedModel, settings: ModelSettings, progress: Progress
) -> dict[str, float]:
    """Ranked probability score on the test days of the forest and of one on half its rows: what more would bring."""
    halved = settings.model_copy(update={"max_training_rows": settings.max_training_rows // 2})
    progress.step(f"fit on {halved.max_training_rows:,} rows, to tell what the sampling costs")
    half, _rows = fitted_forest(data.all_rows, halved, calendar_position=fitted.calendar_position)
    return {"sample_rps": mean_rps(data.test, fitted.pipeline), "half_sample_rps": mean_rps(data.test, half)}


def _comparisons(cells: ScoreCells, seed: int) -> tuple[Comparison, ...]:
    """Scores of the forest and each baseline per horizon, with the forest's gain over the baseline."""
    made = []
    for horizon in sorted(set(cells.horizon.tolist())):
        forest = cells.of(FOREST, horizon)
        for name in (FOREST, *BASELINES):
            its = cells.of(name, horizon)
            gains = {} if name == FOREST else block_bootstrap_difference(forest, its, seed=seed)
            active = scores(cells.of(name, horizon, idle_too=False))
            made.append(Comparison(horizon, name, scores(its), active, gains.get("macro_f1"), gains.get("log_loss")))
    return tuple(made)


def _parameters(settings: Settings) -> dict[str, object]:
    return {**settings.model.model_dump(exclude={"name", "tracking_uri"}), **settings.classes.model_dump()}


def _facts(tables: DeltaTables, data: TrainingData, fitted: FittedModel, settings: Settings) -> dict[str, str]:
    """What must be known of a model version wherever it is used, as texts."""
    versions = {f"{name}_version": str(tables.version(name)) for name in _READ_TABLES}
    return {
        "feature_set": settings.model.feature_set,
        "training_horizons": ",".join(map(str, data.horizons)),
        **settings.classes.facts(),
        "first_target": f"{data.first_target:%Y-%m-%dT%H:%MZ}",
        "test_start": f"{data.test_start:%Y-%m-%dT%H:%MZ}",
        "test_end": f"{data.test_end:%Y-%m-%dT%H:%MZ}",
        "servers": str(data.servers),
        "calendar_position": "on" if fitted.calendar_position else "off",
        DECISION_TAG: fitted.decision.text(),
        **versions,
    }


def _test_rps(comparisons: Sequence[Comparison]) -> str:
    forest = (made for made in comparisons if made.model == FOREST)
    return ",".join(f"{made.horizon_hours}:{made.scores.rps:.6f}" for made in forest)


def _note_results(
    run: JobRun, model: PipelineModel, comparisons: Sequence[Comparison], metrics: dict[str, float]
) -> None:
    """Metrics per horizon, and the pictures of the longest one."""
    run.note_metrics(metrics | {name: number for made in comparisons for name, number in _metrics(made).items()})
    longest = max(made.horizon_hours for made in comparisons)
    at_longest = {made.model: made for made in comparisons if made.horizon_hours == longest}
    forest = at_longest[FOREST].scores
    run.note_key_metrics({f"h{longest}_macro_f1": forest.macro_f1, f"h{longest}_log_loss": forest.log_loss})
    shown = {name: made.scores.confusion for name, made in at_longest.items() if name in (FOREST, CLIMATOLOGY)}
    run.keep_file("confusion_matrix.png", lambda path: confusion_picture(shown, longest, path))
    run.keep_file("importances.png", lambda path: importances_picture(input_importances(model), path))
    rows = [row for made in comparisons for row in [table_row(made)]]
    run.keep_file("comparison.json", lambda path: path.write_text(json.dumps(rows, indent=1), encoding="utf-8"))


def _metrics(made: Comparison) -> dict[str, float]:
    """The numbers of one comparison by their MLflow names, without those that could not be told."""
    of_model = "" if made.model == FOREST else f"{made.model.replace(' ', '_')}_"
    prefix = f"h{made.horizon_hours}_{of_model}"
    numbers = {f"{prefix}{name}": getattr(made.scores, name) for name in _METRICS}
    numbers |= {f"{prefix}active_{name}": getattr(made.scores_without_idle, name) for name in _METRICS}
    for index, name in enumerate(CLASSES):
        numbers[f"{prefix}precision_{name}"] = made.scores.precision[index]
        numbers[f"{prefix}recall_{name}"] = made.scores.recall[index]
    for name, gain in (("macro_f1", made.macro_f1_gain), ("log_loss", made.log_loss_gain)):
        if gain:
            numbers |= {f"{prefix}{name}_gain_low": gain.low, f"{prefix}{name}_gain_high": gain.high}
    return {name: float(number) for name, number in numbers.items() if not math.isnan(number)}
