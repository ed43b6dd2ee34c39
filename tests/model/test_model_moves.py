"""How the aliases move: promoted, interrupted, rolled back; a real MLflow store, whose versions here have no files."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serverload.contracts.errors import ModelError
from serverload.store.model_registry import ModelRegistry
from serverload.store.registered_models import CHALLENGER, CHAMPION, PREVIOUS
from serverload.store.tracking import Tracking

NAME = "serverload-forecast"
MOVES = ("set_registered_model_alias", "delete_registered_model_alias", "set_model_version_tag")


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A database with versions 1 to 3: the first is champion, the third challenger."""
    folder = tmp_path_factory.mktemp("stored")
    client = Tracking("", str(folder)).client()
    client.create_registered_model(NAME)
    for _ in range(3):
        client.create_model_version(NAME, (folder / "forest").as_uri())
    client.set_registered_model_alias(NAME, CHAMPION, "1")
    client.set_registered_model_alias(NAME, CHALLENGER, "3")
    return folder / "mlflow.db"


@pytest.fixture
def registry(tmp_path, stored) -> ModelRegistry:
    shutil.copy(stored, tmp_path)
    return ModelRegistry("", NAME, str(tmp_path))


def aliases(registry: ModelRegistry) -> dict[str, str]:
    return {alias: each.version for each in registry.versions() for alias in each.aliases}


def moves(registry: ModelRegistry, version: str) -> list[tuple[str, str]]:
    return [(move.event, move.why) for move in registry.version(version).moves]


class Interrupted:
    """An MLflow client whose process is stopped at its n-th move, counted from 0."""

    def __init__(self, client: Any, at: int) -> None:
        self._client, self._left = client, at

    def __getattr__(self, name: str) -> Any:
        return self._counted(name) if name in MOVES else getattr(self._client, name)

    def _counted(self, name: str) -> Callable[..., Any]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return getattr(self._client, name)


def interrupted(registry: ModelRegistry, at: int) -> ModelRegistry:
    """The same registry, in a process that will not live long."""
    doomed = ModelRegistry("", NAME, registry.tracking.home)
    doomed.tracking._client = Interrupted(registry.tracking.client(), at)
    return doomed


def test_a_promoted_challenger_is_champion_and_the_champion_previous(registry):
    promoted = registry.promote("3", "better by far")

    assert aliases(registry) == {CHAMPION: "3", PREVIOUS: "1"}
    assert (promoted.version, promoted.aliases) == ("3", (CHAMPION,))
    (move,) = promoted.moves
    assert (move.event, move.why) == ("promoted", "better by far")
    assert timedelta(0) <= datetime.now(UTC) - move.at < timedelta(minutes=1)


def test_another_version_than_the_challenger_leaves_the_challenger_where_it_is(registry):
    registry.promote("2", "by force")

    assert aliases(registry) == {CHAMPION: "2", PREVIOUS: "1", CHALLENGER: "3"}


def test_a_version_never_registered_moves_nothing(registry):
    with pytest.raises(ModelError, match="version 9 is not registered"):
        registry.promote("9", "why not")

    assert aliases(registry) == {CHAMPION: "1", CHALLENGER: "3"}


@pytest.mark.parametrize("at", range(4))
def test_a_promotion_interrupted_anywhere_leaves_a_champion_and_is_completed_by_the_next(registry, at):
    registry.promote("2", "first")
    with pytest.raises(KeyboardInterrupt):
        interrupted(registry, at).promote("3", "second")

    assert registry.champion().version == ("2" if at < 2 else "3")
    registry.promote("3", "second")
    assert aliases(registry) == {CHAMPION: "3", PREVIOUS: "2"}
    assert moves(registry, "3") == [("promoted", "second")]


def test_promoting_the_champion_again_adds_nothing_to_its_history(registry):
    registry.promote("3", "better")
    registry.promote("3", "still")

    assert aliases(registry) == {CHAMPION: "3", PREVIOUS: "1"}
    assert moves(registry, "3") == [("promoted", "better")]


def test_a_rollback_makes_the_champion_before_champion_and_only_once(registry):
    registry.promote("3", "better")

    assert registry.rollback("worse in operation").version == "1"
    assert aliases(registry) == {CHAMPION: "1"}
    assert moves(registry, "3") == [("promoted", "better"), ("rolled_back", "worse in operation")]
    assert moves(registry, "1") == []
    with pytest.raises(ModelError, match="is left to go back to; `serverload promote --version N --force`") as caught:
        registry.rollback("again")
    assert "\n" not in str(caught.value)
    assert aliases(registry) == {CHAMPION: "1"}


def test_without_a_champion_before_there_is_nothing_to_roll_back_to(registry, tmp_path):
    with pytest.raises(ModelError, match="is left to go back to"):
        registry.rollback("why not")
    with pytest.raises(ModelError, match="is left to go back to"):
        ModelRegistry("", NAME, str(tmp_path / "new")).rollback("why not")

    assert not (tmp_path / "new").exists()
    assert aliases(registry) == {CHAMPION: "1", CHALLENGER: "3"}


def test_an_interrupted_promotion_left_nothing_to_roll_back_to(registry):
    with pytest.raises(KeyboardInterrupt):
        interrupted(registry, 1).promote("3", "better")

    assert aliases(registry) == {CHAMPION: "1", PREVIOUS: "1", CHALLENGER: "3"}
    with pytest.raises(ModelError, match="is left to go back to"):
        registry.rollback("why not")


@pytest.mark.parametrize("at", range(2))
def test_a_rollback_interrupted_before_the_alias_moved_is_completed_by_the_next(registry, at):
    registry.promote("3", "better")
    with pytest.raises(KeyboardInterrupt):
        interrupted(registry, at).rollback("worse")

    assert registry.champion().version == "3"
    assert registry.rollback("worse").version == "1"
    assert aliases(registry) == {CHAMPION: "1"}
    assert moves(registry, "3") == [("promoted", "better"), ("rolled_back", "worse")]


def test_a_version_whose_rollback_was_interrupted_does_not_become_previous(registry):
    registry.promote("3", "better")
    with pytest.raises(KeyboardInterrupt):
        interrupted(registry, 1).rollback("worse")

    registry.promote("2", "better than both")

    assert aliases(registry) == {CHAMPION: "2", PREVIOUS: "1"}


def test_a_version_rolled_back_can_be_promoted_again_with_its_history(registry):
    registry.promote("3", "better")
    registry.rollback("worse")

    again = registry.promote("3", "mended")

    assert aliases(registry) == {CHAMPION: "3", PREVIOUS: "1"}
    assert moves(registry, "3") == [("promoted", "better"), ("rolled_back", "worse"), ("promoted", "mended")]
    assert not again.rolled_back
    assert registry.promote("2", "better still").aliases == (CHAMPION,)
    assert aliases(registry) == {CHAMPION: "2", PREVIOUS: "3"}
