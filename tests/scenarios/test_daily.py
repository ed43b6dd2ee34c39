"""A day's run on a home with nothing in it: what fails, what does not. With sessions, it is among the commands."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from batch.daily import StepDone
from serverload.cli.daily import run_daily
from serverload.contracts.errors import ServerloadError, StoreError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home
from serverload.store.model_registry import ModelRegistry
from serverload.store.runs import list_runs


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(flags={"home": str(tmp_path / "home")})


def test_steps_that_fail_do_not_stop_the_others_and_are_told_at_the_end(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    tables, registry = DeltaTables(spark, settings.home), ModelRegistry("", settings.model.name, settings.home)

    def day(*paths: str) -> tuple[dict[str, StepDone], str]:
        done = list[StepDone]()
        with pytest.raises(ServerloadError) as failure:
            run_daily(settings, tables, registry, paths, Silent(), done.append)
        return {step.step: step for step in done}, str(failure.value)

    done, line = day(str(tmp_path / "nowhere"))
    assert {name: step.result for name, step in done.items()} == {
        "backfill": "failed", "features": "ok", "outcomes": "ok", "retrain": "failed", "compact": "ok",
    }  # fmt: skip
    assert done["outcomes"].what == "no hour has closed yet"
    assert line.startswith(f"daily: backfill failed ({tmp_path}/nowhere: no files there; ")
    assert line.endswith("); mend that and run it again: what is done stays done")
    assert "; retrain failed (" in line

    without_paths, line = day()
    assert without_paths["backfill"] == StepDone(
        "backfill", "left out", 0.0, "no paths given, and none in [daily] paths"
    )
    assert line.startswith("daily: retrain failed (")
    assert [run.status for run in list_runs(registry.tracking, job="daily")] == ["FAILED", "FAILED"]


def test_a_second_daily_names_the_first(settings: Settings) -> None:
    with held_for_home(settings.home, "daily"), pytest.raises(StoreError, match="daily: in use by process"):
        run_daily(settings, None, None, [], Silent(), print)
