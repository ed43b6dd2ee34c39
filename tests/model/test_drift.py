"""Drift and retraining on a small simulated home: what is measured, when a model is made anew, what becomes of it."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from feature_cases import MONDAY, features_of, hourly_table, simulated_hours
from pyspark.sql import SparkSession

from batch.drift import Drift, measured_drift
from batch.retrain import NO_CHAMPION, OTHER_CLASSES, retrain
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.contracts.tables import TABLES
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry
from serverload.store.registered_models import CHALLENGER, CHAMPION
from serverload.store.runs import job_run, list_runs

DAYS, LEARNED_DAYS = 28, 14
LEARNED_UNTIL = MONDAY + timedelta(days=LEARNED_DAYS)
TRIPLED_FROM = MONDAY + timedelta(days=DAYS - 5)
FACTS = {"feature_set": "full", "test_start": f"{LEARNED_UNTIL:%Y-%m-%dT%H:%MZ}", "test_rps": "1:0.100000,48:0.200000"}


def settings_for(home: str, **watch: object) -> Settings:
    model = {"training_horizons": "6", "test_days": 4, "trees": 5, "depth": 4}
    bounds = {"watch": {"recent_days": 7, **watch}, "promotion": {"least_days": 4}}
    return load_settings(flags={"home": home, "model": model, **bounds})


@pytest.fixture(scope="module")
def tables(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DeltaTables:
    """Four weeks of four servers; in the last five days the load is three times what it was."""
    made = DeltaTables(spark, str(tmp_path_factory.mktemp("home")))
    hour, load = pl.col("hour"), pl.col("peak_load")
    hours = simulated_hours(4, DAYS).with_columns(pl.when(hour < TRIPLED_FROM).then(load).otherwise(load * 3))
    hourly = hourly_table(spark, hours)
    made.replace("hourly_load", hourly, None)
    made.replace("features", features_of(hourly, (6,)), None)
    return made


@pytest.fixture
def registry(tables: DeltaTables, tmp_path: Path) -> ModelRegistry:
    return ModelRegistry("", "serverload-forecast", str(tmp_path))


def drift_of(tables: DeltaTables, registry: ModelRegistry, settings: Settings) -> Drift:
    champion = registry.champion()
    assert champion is not None
    return measured_drift(tables, settings, champion, Silent())


def matured(tables: DeltaTables, version: str, rps: dict[int, float]) -> None:
    """Two days of outcomes of one server, and beside each a revision and a climatology, which must not count."""
    names = TABLES["forecast_outcomes"].column_names
    rows = []
    for horizon, score in rps.items():
        for hour in range(48):
            target = MONDAY + timedelta(days=DAYS - 3, hours=hour)
            told = {
                "server_ip": "10.0.0.1", "issued_hour": target - timedelta(hours=horizon), "horizon_hours": horizon,
                "target_hour": target, "model_version": version, "actual_class": "low", "rps": score,
                "outcome_revision": 0, "target_date": target.date(),
            }  # fmt: skip
            of_no_model = {"server_ip": "10.0.0.2", "basis": "climatology", "rps": 1.0}
            rows += [told | {"revision": 0}, told | {"revision": 1, "rps": 0.0}, told | {"revision": 0} | of_no_model]
    cells = [tuple(row.get(name) for name in names) for row in rows]
    tables.append("forecast_outcomes", tables.spark.createDataFrame(cells, TABLES["forecast_outcomes"].ddl))


def test_inputs_scores_and_age_are_held_against_what_the_champion_knows(
    tables: DeltaTables, registry: ModelRegistry, fitted
) -> None:
    with job_run(registry.tracking, "train") as run:
        version = registry.register(fitted, run.run_id, FACTS).version
    matured(tables, version, {1: 0.15, 48: 0.21, 5: 0.9})  # 5 h ahead has not been tested
    found = drift_of(tables, registry, settings_for(registry.tracking.home, least_forecasts=96))

    by_name = {each.what: each for each in found.compared}
    assert by_name["peak_load_origin_lag_0h"].drifted
    assert by_name["peak_load_origin_lag_0h"].number > 0.5
    assert 0.1 < by_name["label"].number < 0.25
    verdicts = {row["what"]: row["verdict"] for row in found.table()}
    assert (verdicts["label"], verdicts["peak_load_origin_lag_0h"]) == ("shifting", "DRIFTED")
    assert not by_name["peak_load_lag_730h"].drifted  # a month back: unknown then and now
    assert by_name["peak_load_lag_730h"].then == by_name["peak_load_lag_730h"].now == "0.000 known"
    assert by_name["matured forecasts"].number == pytest.approx(0.36 / 0.3 - 1)
    assert by_name["the champion's history"].number == pytest.approx(DAYS - LEARNED_DAYS)
    assert "PSI of " in found.reasons()
    assert not {"year", "trend_days", "horizon_hours"} & set(by_name)

    too_few = drift_of(tables, registry, settings_for(registry.tracking.home, least_forecasts=97))
    assert "matured forecasts" not in {each.what for each in too_few.compared}


def test_the_same_load_as_ever_is_no_drift(
    spark: SparkSession, registry: ModelRegistry, fitted, tmp_path: Path
) -> None:
    steady = DeltaTables(spark, str(tmp_path / "steady"))
    steady.replace("features", features_of(hourly_table(spark, simulated_hours(4, DAYS)), (6,)), None)
    with job_run(registry.tracking, "train") as run:
        registry.register(fitted, run.run_id, FACTS)
    # the first has no nulls, of the second a fifth was not known then: three days of a fortnight
    known = ("peak_load_origin_lag_0h", "peak_load_lag_72h", "label")
    found = drift_of(steady, registry, settings_for(registry.tracking.home))
    assert {each.what: each.drifted for each in found.compared if each.what in known} == dict.fromkeys(known, False)


def test_retrain_trains_when_it_is_needed_and_promotes_only_what_is_better(
    tables: DeltaTables, registry: ModelRegistry
) -> None:
    lenient = {"max_psi": 100.0, "max_age_days": 5, "retrain_days": 1}
    first = retrain(tables, settings_for(registry.tracking.home, **lenient), registry, Silent(), if_needed=True)
    assert (first.why, first.promotion) == (NO_CHAMPION, None)
    assert registry.alias(CHAMPION).version == first.trained.model.version == "1"

    needless = retrain(tables, settings_for(registry.tracking.home, **lenient), registry, Silent(), if_needed=True)
    assert (needless.why, needless.trained) == ("", None)
    assert [run.job for run in list_runs(registry.tracking)] == ["train", "retrain"]

    drifted = settings_for(registry.tracking.home)
    too_soon = retrain(tables, drifted, registry, Silent(), if_needed=True)
    assert (too_soon.why.startswith("PSI of "), too_soon.trained) == (True, None)

    again = retrain(tables, drifted, registry, Silent(), if_needed=False)
    assert again.why == too_soon.why
    assert again.promotion.verdict == "refused"  # the same days make the same forest
    assert "lower than the champion's" in again.promotion.reasons
    assert (registry.alias(CHAMPION).version, registry.alias(CHALLENGER).version) == ("1", "2")
    assert [run.job for run in list_runs(registry.tracking, limit=3)] == ["promote", "train", "retrain"]

    registry.tracking.client().set_model_version_tag(registry.name, "1", "low_max", "50")
    other = retrain(tables, drifted, registry, Silent(), if_needed=True)
    assert (other.why, other.drift, other.trained.model.version) == (OTHER_CLASSES, None, "3")
    assert "lower than the champion's" not in other.promotion.reasons  # it is no rival
