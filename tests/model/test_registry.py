"""The registry and the runs, on a real MLflow store in a folder of the test."""

import shutil
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from feature_cases import trees_of

from serverload.contracts.errors import InputError, ModelError
from serverload.store.model_registry import ModelRegistry
from serverload.store.registered_models import CHALLENGER, PREVIOUS
from serverload.store.runs import compare_runs, job_run, list_runs
from serverload.store.tracking import Tracking

NAME = "serverload-forecast"


def registry_in(folder: Path, uri: str = "") -> ModelRegistry:
    return ModelRegistry(uri, NAME, str(folder))


@pytest.fixture(scope="module")
def home(tmp_path_factory, fitted, monkeypatch_module) -> Path:
    """A home with two versions, registered from an empty working folder."""
    folder = tmp_path_factory.mktemp("home")
    elsewhere = tmp_path_factory.mktemp("cwd")
    monkeypatch_module.chdir(elsewhere)
    registry = registry_in(folder)
    for depth in ("8", "9"):
        with job_run(registry.tracking, "train", {"depth": depth}) as run:
            registry.register(fitted, run.run_id, {"feature_set": "full", "depth": depth})
    assert list(elsewhere.iterdir()) == []
    return folder


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_asking_a_home_that_never_trained_gives_none_and_makes_nothing(tmp_path):
    registry = registry_in(tmp_path)

    assert registry.champion() is None
    assert registry.version("1") is None
    assert registry.versions() == []
    assert list_runs(registry.tracking) == []
    assert list(tmp_path.iterdir()) == []


def test_a_registry_without_models_has_no_champion(tracking):
    assert registry_in(Path(tracking.home)).champion() is None


def test_the_first_version_is_champion_and_a_later_one_challenger_with_their_facts(home):
    champion, challenger = registry_in(home).champion(), registry_in(home).alias(CHALLENGER)

    assert (champion.name, champion.version, champion.aliases) == (NAME, "1", ("champion",))
    assert champion.tags == champion.facts == {"feature_set": "full", "depth": "8"}
    assert (challenger.version, challenger.tags["depth"]) == ("2", "9")
    assert timedelta(0) < datetime.now(UTC) - champion.created < timedelta(minutes=10)
    assert registry_in(home).alias(PREVIOUS) is None
    assert registry_in(home).version("3") is None


def test_versions_are_listed_newest_first_as_each_would_be_told_alone(home):
    registry = registry_in(home)

    assert registry.versions() == [registry.version("2"), registry.version("1")]


def test_a_loaded_champion_has_the_trees_that_were_registered(home, fitted):
    champion = registry_in(home).champion()

    assert trees_of(champion.pipeline()) == trees_of(fitted)
    assert champion.pipeline() is champion.pipeline()


def test_a_home_holds_its_models_itself_and_no_staging_is_left(home):
    kept = {path.name for path in home.iterdir()}

    assert {"mlflow.db", "mlartifacts"} <= kept <= {"mlflow.db", "mlartifacts", "locks"}


def test_missing_artefacts_are_one_line_that_names_the_version(home, tmp_path):
    with job_run(registry_in(home).tracking, "train"):
        pass
    artefacts = home / "mlartifacts"
    shutil.move(artefacts, tmp_path / "away")
    try:
        with pytest.raises(ModelError, match=f"{NAME} version 1 cannot be loaded") as caught:
            registry_in(home).champion().pipeline()
    finally:
        shutil.move(tmp_path / "away", artefacts)

    assert "\n" not in str(caught.value)


def test_a_version_never_registered_cannot_be_loaded(home):
    with pytest.raises(ModelError, match="version 9 is not registered"):
        registry_in(home).load("9")


def test_a_server_that_is_down_is_one_line_within_seconds(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        uri = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ModelError, match="MLflow does not answer") as caught:
            registry_in(tmp_path, uri).champion()

    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)


def test_a_home_elsewhere_needs_a_tracking_address():
    with pytest.raises(ModelError, match="abfss://lake/home cannot hold the registry; set an MLflow server"):
        Tracking("", "abfss://lake/home")


@pytest.fixture(scope="module")
def blank(tmp_path_factory) -> Path:
    """A database with the experiment and no runs: making one takes seconds, copying it does not."""
    folder = tmp_path_factory.mktemp("blank")
    Tracking("", str(folder)).experiment_id()
    return folder / "mlflow.db"


@pytest.fixture
def tracking(tmp_path, blank) -> Tracking:
    shutil.copy(blank, tmp_path)
    return Tracking("", str(tmp_path))


def fail_after_seven_rows(tracking: Tracking) -> None:
    with job_run(tracking, "backfill") as run:
        run.note_data(rows=7)
        raise InputError("no such folder", where="history")


def test_runs_are_listed_newest_first_with_what_they_did(tracking):
    with job_run(tracking, "backfill", {"paths": "history"}) as run:
        run.note_data(rows=1200)
    with job_run(tracking, "train") as run:
        run.note_key_metrics({"h48_macro_f1": 0.91234, "h48_log_loss": 0.25})

    train, backfill = list_runs(tracking)

    assert (train.job, train.key_metrics, train.rows) == ("train", "h48_macro_f1 0.9123, h48_log_loss 0.25", None)
    assert (backfill.job, backfill.status, backfill.rows) == ("backfill", "FINISHED", 1200)
    assert [row.job for row in list_runs(tracking, job="backfill")] == ["backfill"]
    assert list_runs(tracking, limit=1) == [train]


def test_a_failed_job_is_a_failed_run_with_the_line_of_its_error(tracking):
    with pytest.raises(InputError, match="no such folder"):
        fail_after_seven_rows(tracking)

    (row,) = list_runs(tracking)
    assert (row.status, row.rows) == ("FAILED", 7)
    told = {each["name"]: each[row.run] for each in compare_runs(tracking, [row.run])}
    assert told["serverload.error"] == "history: no such folder"


def test_an_interrupted_job_is_a_killed_run(tracking):
    with pytest.raises(KeyboardInterrupt), job_run(tracking, "train"):
        raise KeyboardInterrupt

    assert list_runs(tracking)[0].status == "KILLED"


def test_runs_are_compared_name_by_name(tracking):
    for depth in (8, 10):
        with job_run(tracking, "train", {"depth": depth}) as run:
            run.note_metrics({"h48_log_loss": depth / 100})
    newer, older = (row.run for row in list_runs(tracking))

    told = {row["name"]: (row[older], row[newer]) for row in compare_runs(tracking, [older, newer])}

    assert told["depth"] == ("8", "10")
    assert told["h48_log_loss"] == ("0.08", "0.1")
    assert told["status"] == ("FINISHED", "FINISHED")


def test_an_unknown_run_is_one_line(tracking):
    with pytest.raises(ModelError, match="no run begins with 'zzzz'"):
        compare_runs(tracking, ["zzzz"])


def test_the_runs_of_a_copied_or_moved_home_have_their_artefacts_in_it(tracking):
    first, copied, moved = (Path(tracking.home).with_name(name) for name in ("first", "copied", "moved"))
    with job_run(Tracking("", str(first)), "train") as run:
        run.keep_file("told.txt", lambda path: path.write_text("one"))
    shutil.copytree(first, copied)
    with job_run(Tracking("", str(copied)), "train") as second:
        second.keep_file("told.txt", lambda path: path.write_text("two"))
    shutil.rmtree(first)
    copied.rename(moved)

    client = Tracking("", str(moved)).client()

    assert {client.get_run(each.run_id).info.artifact_uri for each in (run, second)} == {
        f"{(moved / 'mlartifacts').as_uri()}/{each.run_id}/artifacts" for each in (run, second)
    }
    told = [Path(client.download_artifacts(each.run_id, "told.txt")).read_text() for each in (run, second)]
    assert told == ["one", "two"]
