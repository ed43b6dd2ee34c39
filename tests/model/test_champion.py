"""A champion that cannot be used leaves the last good one at work; registry and artefacts are real."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import SparkSession

from serverload.contracts.errors import ModelError
from serverload.contracts.settings import load_settings
from serverload.store.model_registry import ModelRegistry
from serverload.store.registered_models import CHAMPION, PREVIOUS
from serverload.store.runs import job_run
from streaming.champion import ChampionFollower

NAME = "serverload-forecast"
CLASSES = load_settings().classes


def registered(registry: ModelRegistry, model: PipelineModel, **facts: str) -> str:
    with job_run(registry.tracking, "train") as run:
        return registry.register(model, run.run_id, {"feature_set": "full", **facts}).version


def promoted(registry: ModelRegistry, model: PipelineModel) -> str:
    return registry.promote(registered(registry, model), "a test").version


def wanting(feature: str) -> PipelineModel:
    """A pipeline that wants a feature which is not there."""
    return PipelineModel([SQLTransformer(statement=f"SELECT *, {feature} AS wanted FROM __THIS__")])


@pytest.fixture
def told() -> list[tuple[str, str | None]]:
    return []


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry("", NAME, str(tmp_path))


def follower(
    spark: SparkSession, registry: ModelRegistry, told: list[tuple[str, str | None]], issued_by: str | None = None
) -> ChampionFollower:
    return ChampionFollower(
        spark, registry, CLASSES, lambda: issued_by, lambda event, version, _why: told.append((event, version))
    )


def test_a_champion_is_followed_when_it_is_promoted_and_when_it_is_rolled_back(spark, fitted, registry, told):
    following = follower(spark, registry, told)
    assert following.current() is None
    first = registered(registry, fitted)
    assert following.current().version == first
    second = registered(registry, fitted)
    assert following.current().version == first

    registry.promote(second, "better")

    assert [following.current().version for _ in range(2)] == [second, second]
    registry.rollback("worse after all")
    assert [following.current().version for _ in range(2)] == [first, first]
    assert told == [("model_taken", first), ("model_taken", second), ("model_taken", first)]


def test_a_champion_that_wants_other_features_is_not_taken_and_a_rollback_mends_it(spark, fitted, registry, told):
    following = follower(spark, registry, told)
    first = registered(registry, fitted)
    assert following.current().version == first

    second = promoted(registry, wanting("phase_of_the_moon"))

    assert [following.current().version for _ in range(2)] == [first, first]
    registry.rollback("it scores nothing")
    assert following.current().version == first
    # told once each: refused, and that the one at work is champion again
    assert told == [("model_taken", first), ("model_refused", second), ("model_taken", first)]


def test_a_champion_that_has_learned_other_classes_is_not_taken(spark, fitted, registry, told):
    first = registered(registry, fitted, **CLASSES.facts())
    other = registered(registry, fitted, **CLASSES.facts() | {"medium_max": "600"})
    registry.promote(other, "a test")
    following = follower(spark, registry, told, issued_by=first)

    assert following.current().version == first
    assert told == [("model_refused", other)]


def test_after_a_restart_the_version_that_issued_last_takes_the_place_of_one_without_artefacts(
    spark, fitted, registry, told, tmp_path
):
    first = registered(registry, fitted)
    kept = set((tmp_path / "mlartifacts").iterdir())
    second = promoted(registry, fitted)
    for folder in set((tmp_path / "mlartifacts").iterdir()) - kept:
        shutil.rmtree(folder)

    afresh = ModelRegistry("", NAME, str(tmp_path))
    assert follower(spark, afresh, told, issued_by=first).current().version == first
    assert told == [("model_refused", second)]
    assert follower(spark, afresh, []).current() is None


@contextmanager
def server(home: Path, port: int) -> Iterator[str]:
    """An MLflow server of its own; its data stays."""
    places = ["--backend-store-uri", f"sqlite:///{home}/server.db", "--artifacts-destination", str(home / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *places]
    with (home / "server.log").open("ab") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while not answers(port):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def rolled_back_to(registry: ModelRegistry, model: PipelineModel) -> str:
    """The first of two versions, once the second has been promoted and rolled back."""
    first, second = registered(registry, model), promoted(registry, model)
    assert registry.alias(PREVIOUS).version == first
    assert registry.rollback("a test").version == first
    assert [(each.version, each.aliases) for each in registry.versions()] == [(second, ()), (first, (CHAMPION,))]
    assert registry.version(second).rolled_back
    return first


def test_a_registry_that_goes_away_leaves_the_model_at_work_but_is_an_error_at_start(spark, fitted, told, tmp_path):
    port = free_port()
    with server(tmp_path, port) as uri:
        version = rolled_back_to(ModelRegistry(uri, NAME, str(tmp_path)), fitted)
        following = follower(spark, ModelRegistry(uri, NAME, str(tmp_path)), told)
        assert following.current().version == version

    assert [following.current().version for _ in range(2)] == [version, version]
    with pytest.raises(ModelError, match="MLflow does not answer"):
        follower(spark, ModelRegistry(uri, NAME, str(tmp_path)), []).current()
    with server(tmp_path, port):
        assert following.current().version == version
    assert [event for event, _version in told] == ["model_taken", "registry_away", "registry_back"]
