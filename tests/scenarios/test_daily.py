"""A day's run on a small home: from files to a champion, again with nothing new, and with a step that fails."""

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
        model = {"test_days": 2, "trees": 2, "depth": 2, "training_horizons": "6"}
        self.settings = load_settings(flags={"home": str(folder), "model": model, "forecast": {"horizons": "6"}})
        self.tables = DeltaTables(spark, self.settings.home)
        self.registry = ModelRegistry("", self.settings.model.name, self.settings.home)

    def day(self, *paths: Path, fails: str = "") -> dict[str, StepDone]:
        done = list[StepDone]()
        given = (self.settings, self.tables, self.registry, [str(path) for path in paths], Silent(), done.append)
        if fails:
            with pytest.raises(ServerloadError, match=fails):
                run_daily(*given)
        else:
            run_daily(*given)
        assert [step.step for step in done] == STEPS
        return {step.step: step for step in done}

    def one(self, query: str) -> object:
        (row,) = run_sql(self.settings.home, query).to_pylist()
        return next(iter(row.values()))


def test_a_day_does_what_is_to_be_done_once_and_a_failed_step_does_not_stop_the_others(
    spark: SparkSession, tmp_path: Path
) -> None:
    home = Home(spark, tmp_path / "home")
    files = generate_history(tmp_path / "csv", servers=2, days=6, start=date(2016, 2, 26), seed=3).files

    first = home.day(*files)
    assert {step.result for step in first.values()} == {"ok"}, first
    assert first["backfill"].what.startswith("6 new files, 0 known; ")
    assert first["outcomes"].what == "forecasts wait for a model"
    assert first["retrain"].what == "trained anew: there is no champion; version 1 is champion"

    again = home.day(*files[:2])
    assert again["backfill"].what.startswith("0 new files, 2 known; 0 lines read")
    assert again["outcomes"].what == "1 hours issued here"
    assert again["retrain"].what == "nothing has drifted: not trained anew"
    assert home.one("select count(*) from forecasts") == 2

    failed = home.day(tmp_path / "nowhere", fails=r"daily: backfill failed \(.*nowhere: no files there; .*\); mend")
    assert [step.result for step in failed.values()] == ["failed", "ok", "ok", "ok", "ok"]
    assert home.one("select count(*) from forecasts") == 2

    runs = list_runs(home.registry.tracking, job="daily")
    assert [(run.status, run.rows) for run in runs][:2] == [("FAILED", None), ("FINISHED", 0)]
    assert runs[2].rows == home.one("select sum(read)::int from ingest_log") > 0


def test_a_second_daily_names_the_first_and_without_paths_only_the_backfill_is_left_out(
    spark: SparkSession, tmp_path: Path
) -> None:
    home = Home(spark, tmp_path)
    with held_for_home(str(tmp_path), "daily"), pytest.raises(StoreError, match="daily: in use by process"):
        run_daily(home.settings, home.tables, home.registry, [], Silent(), print)

    done = home.day(fails="daily: retrain failed")
    assert [step.result for step in done.values()] == ["left out", "ok", "ok", "failed", "ok"]
    assert done["outcomes"].what == "no hour has closed yet"
