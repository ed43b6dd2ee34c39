"""How a challenger, the champion and the baselines do on rows of `features` that neither model has seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch.promotion_gate import Judgement, Standing
from batch.train_data import labelled_rows
from serverload.contracts.errors import InputError, ModelError
from serverload.contracts.instants import from_micros
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.model.baselines import BASELINES, fit_baselines
from serverload.model.evaluation import Gain, ScoreCells, block_bootstrap_difference, score_cells, scores
from serverload.model.forecasting import PROBABILITIES, scored_rows
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import RegisteredModel


@dataclass(frozen=True)
class JudgedRows:
    """Labelled rows with targets in `start .. end`, whole days that no model has seen, and those before."""

    rows: DataFrame
    before: DataFrame
    start: datetime
    end: datetime
    count: int
    days: int


def judge(
    tables: DeltaTables,
    settings: Settings,
    challenger: RegisteredModel,
    champion: RegisteredModel | None,
    progress: Progress,
) -> Judgement:
    """Score both, and baselines fitted on what lies before, on the same rows; `features` must be up to date.

    Raises InputError where there are no features or none before those days, ModelError where a model cannot be used.
    """
    models = [challenger] if champion is None else [challenger, champion]
    judged = judged_rows(tables, models, settings)
    found = Judgement(judged.days, judged.count, judged.start, judged.end)
    if judged.days < settings.promotion.least_days:
        return found
    progress.step(f"compare on {judged.days} days")
    cells, seed = scored_cells(judged, models, settings), settings.model.seed
    ours = standing(cells, challenger.version, seed)
    if champion is None:
        return replace(found, challenger=ours)
    gain = rps_gain(cells.of(challenger.version), cells.of(champion.version), seed)
    return replace(found, challenger=ours, champion=standing(cells, champion.version, seed), over_champion=gain)


def judged_rows(tables: DeltaTables, models: Sequence[RegisteredModel], settings: Settings) -> JudgedRows:
    """What none of the models has seen, up to the newest whole day, at the horizons that all of them forecast.

    `features` must be up to date. Raises InputError where there are none, ModelError for a version without facts.
    """
    if tables.version("features") < 0:
        raise InputError("there are no features", where=tables.home, hint="run `serverload backfill` first")
    horizons = set(settings.model.training_horizons)
    for model in models:
        horizons &= set(model.only_horizons or horizons)
    known = labelled_rows(tables.read("features"), horizons)
    start = max(unseen_from(model) for model in models)
    newest = known.agg(sf.unix_micros(sf.max("target_hour"))).collect()[0][0]
    end = max(start, (from_micros(newest or 0) + timedelta(hours=1)).replace(hour=0))
    rows = known.where((sf.col("target_hour") >= sf.lit(start)) & (sf.col("target_hour") < sf.lit(end)))
    count, days = rows.agg(sf.count("*"), sf.count_distinct(sf.to_date("target_hour"))).collect()[0]
    return JudgedRows(rows, known.where(sf.col("target_hour") < sf.lit(start)), start, end, count, days)


def unseen_from(model: RegisteredModel) -> datetime:
    """The first hour that a version has seen nothing of in training. Raises ModelError where its facts do not tell."""
    told = model.facts.get("test_start", "")
    try:
        return datetime.fromisoformat(told).astimezone(UTC)
    except ValueError as error:
        what = f"version {model.version} does not tell the days that it has not seen (fact test_start: {told!r})"
        raise ModelError(what, where=model.name, hint="train it anew") from error


def scored_cells(judged: JudgedRows, models: Sequence[RegisteredModel], settings: Settings) -> ScoreCells:
    """Counts and losses of each model, named by its version, and of the baselines fitted on what lies before.

    Idle targets are not told apart. Raises InputError where nothing lies before.
    """
    if judged.before.isEmpty():
        what = f"no hour before {judged.start:%Y-%m-%d}, to fit the baselines on"
        raise InputError(what, where="features", hint="backfill the days before")
    classes = settings.classes
    baselines = fit_baselines(judged.before, low_max=classes.low_max, medium_max=classes.medium_max)
    rows = judged.rows.withColumn("idle", sf.lit(False)).persist()
    columns = ["target_hour", "horizon_hours", "label", "idle", "model", "workload_class", *PROBABILITIES]
    try:
        forecasts = baselines.forecasts(rows).select(*columns)
        for model in models:
            its = scored_rows(rows, model.pipeline(), model.decision).withColumn("model", sf.lit(model.version))
            forecasts = forecasts.unionByName(its.select(*columns))
        return score_cells(forecasts)
    finally:
        rows.unpersist()
        baselines.release()


def standing(cells: ScoreCells, version: str, seed: int) -> Standing:
    """How a version did, over all horizons."""
    its = cells.of(version)
    gains = {name: rps_gain(its, cells.of(name), seed) for name in BASELINES}
    horizons = sorted(set(cells.horizon.tolist()))
    return Standing(scores(its), gains, {each: scores(cells.of(version, each)).rps for each in horizons})


def rps_gain(ours: ScoreCells, theirs: ScoreCells, seed: int) -> Gain:
    """The gain in RPS of one over another on the same rows, with the 95 % interval of a bootstrap over days."""
    return block_bootstrap_difference(ours, theirs, seed=seed)["rps"]
