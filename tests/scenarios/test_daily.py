"""A day's run on a small home: in a process of its own, beside a stream, it runs among the tests of the commands."""

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from batch.daily import StepDone
from producers.synthetic import generate_history
from serverload.cli.daily import run_daily
from serverload.contracts.errors import ServerloadError, StoreError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home
from serverload.store.model_registry import ModelRegistry
from serverload.store.runs import list_runs
from serverload.store.table_reader import run_sql

STEPS = ["backfill", "features", "outcomes", "retrain", "compact"]


class Home:
    """A home and what each of its days has told."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.settings = load_settings(flags={"home": str(folder), "model": {"training_horizons": "6"}})
        self.tables = DeltaTables(spark, self.settings.home)
        self.registry = ModelRegistry("", self.settings.model.name, self.settings.home)

    def day(self, *paths: Path, fails: str) -> dict[str, StepDone]:
        done = list[StepDone]()
        given = (self.settings, self.tables, self.registry, [str(path) for path in paths], Silent(), done.append)
        with pytest.raises(ServerloadError, match=fails):
            run_daily(*given)
        assert [step.step for step in done] == STEPS
        return {step.step: step for step in done}

    def one(self, query: str) -> object:
        (row,) = run_sql(self.settings.home, query).to_pylist()
        return next(iter(row.values()))


def test_a_step_that_fails_does_not_stop_the_others_and_what_is_done_is_not_done_again(
    spark: SparkSession, tmp_path: Path
) -> None:
    home = Home(spark, tmp_path / "home")
    files = generate_history(tmp_path / "csv", servers=1, days=1, start=date(2016, 2, 26), seed=3).files
    too_little = "daily: retrain failed .*; mend that and run it again: what is done stays done"

    first = home.day(*files, fails=too_little)
    assert [step.result for step in first.values()] == ["ok", "ok", "ok", "failed", "ok"]
    assert first["backfill"].what.startswith("1 new files, 0 known; ")
    assert first["outcomes"].what == "forecasts wait for a model"

    again = home.day(fails=too_little)
    assert [step.result for step in again.values()] == ["left out", "ok", "ok", "failed", "ok"]
    assert again["backfill"].what == "no paths given, and none in [daily] paths"
    assert again["features"].what == "up to date"

    read = home.one("select sum(read)::int from ingest_log")
    runs = list_runs(home.registry.tracking, job="daily")
    assert [(run.status, run.rows) for run in runs] == [("FAILED", None), ("FAILED", read)]


def test_a_second_daily_names_the_first(tmp_path: Path) -> None:
    settings = load_settings(flags={"home": str(tmp_path)})
    with held_for_home(str(tmp_path), "daily"), pytest.raises(StoreError, match="daily: in use by process"):
        run_daily(settings, None, None, [], Silent(), print)
