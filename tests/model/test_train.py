"""Training on a small simulated home: nothing of the test days reaches the model, and everything is recorded."""

from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from feature_cases import MONDAY, features_of, hourly_table, simulated_hours, trees_of
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from batch.fitting import fitted_model
from batch.train import FOREST, TrainResult, train
from batch.train_data import sampled, training_data
from batch.tuning import TuningBounds
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.model.baselines import BASELINES
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry
from serverload.store.runs import compare_runs, list_runs

DAYS, TEST_DAYS = 20, 4
TEST_START = MONDAY + timedelta(days=DAYS - TEST_DAYS)
HORIZONS = (6, 48)
SAMPLED = {"max_training_rows": 1000}
"""Fewer than the 1,800 targets of five servers before the test."""


def no_groups(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], "server_ip string, server_group string")


def settings_for(home: Path, **model: object) -> Settings:
    chosen = {"training_horizons": "6,48", "test_days": TEST_DAYS, "trees": 5, "depth": 4, **model}
    return load_settings("local", {"home": str(home), "model": chosen})


def filled_home(spark, home: Path, hours: pl.DataFrame) -> DeltaTables:
    """A home with `hourly_load` and all features of some hours."""
    tables = DeltaTables(spark, str(home))
    hourly = hourly_table(spark, hours)
    tables.replace("hourly_load", hourly, None)
    tables.replace("features", features_of(hourly, HORIZONS), None)
    return tables


def trained(tables: DeltaTables, settings: Settings) -> TrainResult:
    return train(tables, settings, ModelRegistry("", settings.model.name, settings.home), Silent())


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines = list[str]()

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def hours() -> pl.DataFrame:
    """Five servers, and six hours after the last whole day."""
    return simulated_hours(5, DAYS + 1).filter(pl.col("hour") < MONDAY + timedelta(days=DAYS, hours=6))


@pytest.fixture(scope="module")
def result(spark, hours, tmp_path_factory) -> TrainResult:
    home = tmp_path_factory.mktemp("home")
    return trained(filled_home(spark, home, hours), settings_for(home, **SAMPLED))


def test_the_test_is_the_newest_whole_days(result):
    assert (result.test_start, result.test_end) == (TEST_START, MONDAY + timedelta(days=DAYS))
    at_48 = [each.scores.rows for each in result.comparisons if each.horizon_hours == 48]
    assert at_48 == [5 * 24 * TEST_DAYS] * (1 + len(BASELINES))


def test_nothing_of_the_test_days_reaches_the_model(spark, hours, result, tmp_path):
    """The trees are those of a history whose test days had other loads, other labels and fewer hours."""
    late = pl.col("hour") >= TEST_START
    peaks = [name for name in hours.columns if name.startswith("peak_")]
    altered = hours.with_columns(pl.when(late).then(pl.col(name) * 7 + 1).otherwise(name).alias(name) for name in peaks)
    altered = altered.filter(~late | (pl.col("hour").dt.hour() % 5 != 0))

    chosen = settings_for(tmp_path, **SAMPLED).model
    data = training_data(features_of(hourly_table(spark, altered), HORIZONS), chosen)
    when = {"first": data.first_target, "end": data.test_start}
    fitted = fitted_model(data.all_rows, no_groups(spark), chosen, **when, progress=Silent())
    other, ours = fitted.pipeline, result.model.pipeline()

    assert fitted.decision == result.model.decision
    assert trees_of(other) == trees_of(ours)
    assert other.stages[3].std == ours.stages[3].std


def test_every_training_target_is_before_the_test(spark, hours, tmp_path):
    data = training_data(features_of(hourly_table(spark, hours), HORIZONS), settings_for(tmp_path).model)

    for rows in (data.all_rows, sampled(data.all_rows, settings_for(tmp_path).model)):
        assert rows.agg(sf.unix_seconds(sf.max("target_hour"))).collect()[0][0] == int(TEST_START.timestamp()) - 3600


def test_the_sample_takes_one_row_per_target_on_average_by_its_key_alone(spark, hours, tmp_path):
    features = features_of(hourly_table(spark, hours), HORIZONS)
    chosen = settings_for(tmp_path).model
    key = ("server_ip", "target_hour", "horizon_hours")

    def drawn(frame: DataFrame) -> set[tuple[object, ...]]:
        return {tuple(row) for row in sampled(training_data(frame, chosen).all_rows, chosen).select(*key).collect()}

    whole = drawn(features)
    one_server = features.where("server_ip = '10.0.0.3'")
    alone = drawn(one_server)

    # of five servers' 384 hours before the test, those 6 h and those 48 h after the first one, over two horizons
    assert len(whole) == pytest.approx((5 * 378 + 5 * 336) / 2, rel=0.1)
    assert {row for row in whole if row[0] == "10.0.0.3"} == alone


def test_the_forest_beats_what_the_weekly_baselines_cannot_know(result):
    by_model = {each.model: each for each in result.comparisons if each.horizon_hours == 48}

    assert set(by_model) == {FOREST, *BASELINES}
    assert by_model[FOREST].scores.macro_f1 > 0.75
    assert by_model["majority"].macro_f1_gain.low > 0.2
    assert by_model["majority"].log_loss_gain.low > 0.2
    assert by_model[FOREST].scores_without_idle.rows < by_model[FOREST].scores.rows


def test_the_table_has_a_row_per_horizon_and_model(result):
    assert [(row["horizon_hours"], row["model"]) for row in result.table()] == [
        (horizon, name) for horizon in HORIZONS for name in (FOREST, *BASELINES)
    ]


def test_the_model_is_champion_and_carries_its_facts(result):
    champion = result.model.registry.champion()

    assert (champion.version, champion.run_id) == ("1", result.run_id)
    expected = {"feature_set": "full", "training_horizons": "6,48", "low_max": "100", "medium_max": "500"}
    assert expected.items() <= champion.tags.items()
    assert champion.tags["test_start"] == "2016-06-22T00:00Z"
    assert champion.tags["features_version"] == "1"


def test_the_run_holds_metrics_versions_and_pictures(result):
    tracking = result.model.registry.tracking
    run = tracking.client().get_run(result.run_id)

    assert run.data.metrics["h48_macro_f1"] == pytest.approx(result.comparisons[6].scores.macro_f1)
    assert run.data.metrics["h6_climatology_log_loss"] == pytest.approx(result.comparisons[5].scores.log_loss)
    assert {"h48_recall_high", "h48_precision_low", "h48_active_rps", "fit_seconds"} <= set(run.data.metrics)
    # what sampling costs: the forest on half the rows, another one, is scored on the same days
    assert 0 < run.data.metrics["sample_rps"] != run.data.metrics["half_sample_rps"] > 0
    kept = {file.path for file in tracking.client().list_artifacts(result.run_id)}
    assert {"confusion_matrix.png", "importances.png", "comparison.json"} <= kept
    (row,) = list_runs(tracking)
    assert (row.job, row.status, row.rows, row.model_version) == ("train", "FINISHED", result.rows, "1")


def test_a_history_shorter_than_the_test_is_one_line(spark, hours, tmp_path):
    features = features_of(hourly_table(spark, hours.filter(pl.col("hour") < MONDAY + timedelta(days=3))), HORIZONS)

    with pytest.raises(InputError, match="no hour is left to train on before the newest 4 days"):
        training_data(features, settings_for(tmp_path).model)


def test_a_history_of_one_class_is_one_line(spark, hours, tmp_path):
    features = features_of(hourly_table(spark, hours), HORIZONS).where("label = 'low'")

    with pytest.raises(InputError, match="rows before the test are low"):
        training_data(features, settings_for(tmp_path).model)


def test_a_home_without_features_says_what_to_run_and_leaves_a_failed_run(spark, tmp_path):
    with pytest.raises(InputError, match="run `serverload backfill` first"):
        trained(DeltaTables(spark, str(tmp_path)), settings_for(tmp_path))

    (row,) = list_runs(ModelRegistry("", "x", str(tmp_path)).tracking)
    assert (row.job, row.status) == ("train", "FAILED")


def test_the_article_set_trains_on_48_hours_alone(spark, hours, tmp_path):
    features = features_of(hourly_table(spark, hours), HORIZONS)

    data = training_data(features, settings_for(tmp_path, feature_set="article").model)

    assert [row[0] for row in data.test.select("horizon_hours").distinct().collect()] == [48]
    assert data.first_target == datetime(2016, 6, 8, tzinfo=UTC)


def test_tuning_keeps_the_best_of_its_trials_each_a_run_below_the_training(spark, hours, tmp_path):
    tables = filled_home(spark, tmp_path, hours.filter(pl.col("server_ip") < "10.0.0.3"))
    settings = settings_for(tmp_path, training_horizons="48", trees=2, depth=1, feature_subset="auto")
    registry = ModelRegistry("", settings.model.name, settings.home)

    bounds = TuningBounds(9, 60, 2, {"trees": (2,), "depth": (1, 4)})

    told = Heard()
    farther = settings.forecast.model_copy(update={"horizons": (48, 72)})
    settings = settings.model_copy(update={"forecast": farther})

    made = train(tables, settings, registry, told, chosen_range="2016-06-06:", tuning=bounds)

    (parent,) = list_runs(registry.tracking)
    run = registry.tracking.client().get_run(made.run_id)
    trials = list_runs(registry.tracking, job="trial")
    assert (parent.job, len(trials), run.data.metrics["trials"]) == ("train", 2, 2)
    assert run.data.metrics["tuned_rps"] < run.data.metrics["untuned_rps"]
    assert run.data.params["depth"] == "4"
    assert run.data.params["range"] == "2016-06-06:"
    assert told.lines == ["forecasts beyond 48 h have nothing to learn from: see training_horizons"]


def test_a_trial_under_way_when_the_minutes_are_over_begins_no_further_fit(spark, hours, tmp_path, monkeypatch):
    tables = filled_home(spark, tmp_path, hours.filter(pl.col("server_ip") < "10.0.0.3"))
    settings = settings_for(tmp_path, training_horizons="48", trees=2, depth=1)
    registry = ModelRegistry("", settings.model.name, settings.home)
    clock = chain((0.0, 0.0, 59.0), repeat(61.0))  # at the start, before the second trial, before its first fold
    monkeypatch.setattr("batch.tuning.time", SimpleNamespace(monotonic=lambda: next(clock)))

    bounds = TuningBounds(9, 1, 1, {"trees": (2,), "depth": (1, 4)})
    made = train(tables, settings, registry, Silent(), tuning=bounds)

    run = registry.tracking.client().get_run(made.run_id)
    assert (run.data.metrics["trials"], run.data.params["depth"]) == (1, "1")
    scores = compare_runs(registry.tracking, [trial.run for trial in list_runs(registry.tracking, job="trial")])
    known = {row.pop("name"): [bool(score) for score in row.values()] for row in scores}
    noted = {name: each for name, each in known.items() if name.endswith("rps")}
    newest_first = {"fold0_rps": [True, True], "fold1_rps": [False, True], "fold2_rps": [False, True]}
    assert noted == {**newest_first, "rps": [False, True]}


def test_a_history_too_short_for_folds_is_one_line(spark, hours, tmp_path):
    short = hours.filter(pl.col("hour") >= MONDAY + timedelta(days=DAYS - TEST_DAYS - 3))
    tables = filled_home(spark, tmp_path, short)
    settings = settings_for(tmp_path)

    with pytest.raises(InputError, match="--tune: too little history for 3 folds of 1 days"):
        train(tables, settings, ModelRegistry("", "m", settings.home), Silent(), tuning=TuningBounds(1))
