"""The registered models: their aliases and how these move, loading a version, registering a new one."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.ml import PipelineModel

from serverload.contracts.errors import ModelError
from serverload.contracts.instants import EPOCH
from serverload.model.decision import Decision
from serverload.model.flat_forest import FlatForest
from serverload.store.flat_models import store_flat, stored_flat
from serverload.store.locks import held_for_home
from serverload.store.model_files import load_pipeline, store_pipeline
from serverload.store.tracking import NOT_THERE, Tracking

CHAMPION = "champion"
"""The alias that scoring follows; moving it is a promotion."""

CHALLENGER = "challenger"
"""The alias of the newest version registered beside a champion, until it is promoted."""

PREVIOUS = "previous"
"""The alias of the champion before; `rollback` makes it champion again."""

PROMOTED = "promoted"
ROLLED_BACK = "rolled_back"

VERSION_TAG = "serverload.model_version"
"""Tag of the run that registered a version."""

DECISION_TAG = "decision"
"""Tag of a version: what becomes of its probabilities, as text."""

_MOST_LOADED = 4
"""At work, before it, in shadow, and one to come: a stream that lives for months meets many more."""

_OUR_TAGS = "serverload."
_MOVE_TAG = re.compile(rf"{re.escape(_OUR_TAGS)}({PROMOTED}|{ROLLED_BACK})\.(\S+)")
_MOVE_TIME = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Move:
    """What befell a version, PROMOTED or ROLLED_BACK: when (UTC), and why."""

    event: str
    at: datetime
    why: str


@dataclass
class RegisteredModel:
    """One version of the registered model, and the run that made it; tags and aliases as they stood when asked."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    created: datetime
    registry: "ModelRegistry" = field(repr=False, compare=False)

    @property
    def decision(self) -> Decision:
        """What becomes of its probabilities."""
        return Decision.of_text(self.tags.get(DECISION_TAG, ""))

    @property
    def facts(self) -> dict[str, str]:
        """What was registered with it: the tags without those that tell of its fate."""
        return {name: text for name, text in self.tags.items() if not name.startswith(_OUR_TAGS)}

    @property
    def moves(self) -> tuple[Move, ...]:
        """How it came to be champion and ceased to be, the oldest first; a first version is champion without a move."""
        told = sorted((of[2], of[1], why) for name, why in self.tags.items() if (of := _MOVE_TAG.fullmatch(name)))
        return tuple(Move(event, datetime.fromisoformat(at), why) for at, event, why in told)

    @property
    def rolled_back(self) -> bool:
        """Whether it was rolled back and has not been promoted since."""
        return bool(self.moves) and self.moves[-1].event == ROLLED_BACK

    @property
    def only_horizons(self) -> tuple[int, ...] | None:
        """The horizons (h) that alone it can forecast; None where the horizon is one of its inputs."""
        if self.tags.get("feature_set") != "article":
            return None
        return tuple(int(hours) for hours in self.tags["training_horizons"].split(","))

    def pipeline(self) -> PipelineModel:
        """The fitted pipeline, loaded once per registry object. Raises ModelError when its artefacts are missing."""
        return self.registry.load(self.version)


class ModelRegistry:
    """The versions of one registered model in an MLflow store."""

    def __init__(self, tracking_uri: str, name: str, home: str) -> None:
        """Nothing is opened or made yet; an empty `tracking_uri` means a sqlite file in the (local) home."""
        self.tracking = Tracking(tracking_uri, home)
        self.name = name
        self._mine = f"name = '{name}'"
        self._loaded: dict[str, PipelineModel] = {}

    def champion(self) -> RegisteredModel | None:
        """The version with the alias `champion`; None when the registry is empty or not yet made (nor made now)."""
        return self.alias(CHAMPION)

    def alias(self, name: str) -> RegisteredModel | None:
        """The version with an alias, as CHAMPION, CHALLENGER or PREVIOUS; None where no version has it."""
        return self._known("get_model_version_by_alias", name)

    def versions(self) -> list[RegisteredModel]:
        """All versions, the newest first; none when the registry is empty or not yet made (nor made now)."""
        if not self.tracking.made:
            return []
        client = self.tracking.client()
        with self.tracking.in_one_line():
            registered = client.search_registered_models(self._mine)
            found = client.search_model_versions(self._mine)
        # the search of versions does not tell their aliases
        aliases = [named for model in registered for named in model.aliases.items()]
        newest_first = sorted(found, key=lambda each: -int(each.version))
        return [
            self._told(each, [name for name, of in aliases if str(of) == str(each.version)]) for each in newest_first
        ]

    def version(self, version: str) -> RegisteredModel | None:
        """One version; None when it is not registered."""
        return self._known("get_model_version", version)

    def required(self, version: str) -> RegisteredModel:
        """One version. Raises ModelError when it is not registered."""
        found = self.version(version)
        if found is None:
            hint = "`serverload models` lists those that are"
            raise ModelError(f"{self.name} version {version} is not registered", where=self.tracking.place, hint=hint)
        return found

    def load(self, version: str) -> PipelineModel:
        """The fitted pipeline of a version, kept while among the newest few loaded; needs a running Spark session.

        Raises ModelError, naming the version, when it is not registered or its artefacts are missing.
        """
        if version not in self._loaded:
            self.required(version)
            with self.tracking.in_one_line(f"{self.name} version {version} cannot be loaded"):
                self._loaded[version] = load_pipeline(self.tracking, f"models:/{self.name}/{version}")
            for forgotten in list(self._loaded)[:-_MOST_LOADED]:
                del self._loaded[forgotten]
        return self._loaded[version]

    def flat(self, version: str) -> FlatForest:
        """The forest of a version without Spark, read anew. Raises ModelError, naming the version, if none is there."""
        where = f"{self.required(version).name} version {version}"
        return stored_flat(self.tracking, f"models:/{self.name}/{version}", where)

    def register(
        self, model: PipelineModel, run_id: str, facts: Mapping[str, str], files: Path | None = None
    ) -> RegisteredModel:
        """Store a fitted pipeline under a run as a new version with `facts` as its tags.

        `files`: a folder of the pipeline as MLflow has written it elsewhere, to be kept as it is, bit for bit.
        The version is challenger beside a champion, champion where there is none. The alias is moved last: whoever
        follows it never meets a version that is not whole.
        """
        client = self.tracking.client()
        with self.tracking.in_one_line(f"{self.name} cannot be registered"):
            uri = store_pipeline(self.tracking, model, run_id, files)
            store_flat(self.tracking, model, Decision.of_text(facts.get(DECISION_TAG, "")), uri)
            if not client.search_registered_models(self._mine):
                client.create_registered_model(self.name)
            made = str(client.create_model_version(self.name, uri, run_id, tags=dict(facts)).version)
            client.set_tag(run_id, VERSION_TAG, made)
            with self._moving():
                self._point(CHALLENGER if self.champion() else CHAMPION, made)
        self._loaded[made] = model
        return self.required(made)

    def promote(self, version: str, why: str) -> RegisteredModel:
        """Make a version champion and the champion `previous`; when and why is kept with the version.

        At any moment there is a champion, the old one or the new. A promotion that was interrupted is completed by
        the same call again. Raises ModelError when the version is not registered.
        """
        promoted = self.required(version)
        with self._moving(f"{self.name} version {version} cannot be promoted"):
            champion, challenger = self.champion(), self.alias(CHALLENGER)
            is_new = champion is None or champion.version != version
            if champion and is_new and not champion.rolled_back:
                self._point(PREVIOUS, champion.version)
            self._point(CHAMPION, version)
            if challenger and challenger.version == version:
                self.tracking.client().delete_registered_model_alias(self.name, CHALLENGER)
            if is_new or not promoted.moves or promoted.rolled_back:
                self._note(version, PROMOTED, why)
        return self.required(version)

    def rollback(self, why: str, *, only: str = "") -> RegisteredModel:
        """Make the champion before champion again, and keep with the one rolled back when and why.

        `only`: the version that is to be rolled back; where another is champion by now, that is an error.

        That one does not become `previous`: a second rollback is an error, never a step forward again.
        Raises ModelError when there is no version to go back to.
        """
        with self._moving("the champion cannot be rolled back"):
            champion, previous = self.champion(), self.alias(PREVIOUS)
            if only and champion and champion.version != only:
                raise ModelError(f"version {only} is champion no more", where=self.tracking.place)
            if champion is None or previous is None or previous.version == champion.version:
                what = f"no version of {self.name} is left to go back to"
                hint = "`serverload promote --version N --force` makes any version champion"
                raise ModelError(what, where=self.tracking.place, hint=hint)
            if not champion.rolled_back:
                self._note(champion.version, ROLLED_BACK, why)
            self._point(CHAMPION, previous.version)
            self.tracking.client().delete_registered_model_alias(self.name, PREVIOUS)
        return self.required(previous.version)

    @contextmanager
    def _moving(self, what: str = "") -> Iterator[None]:
        """Move aliases in the block: one process at a time in a local home, errors in one line."""
        lock = held_for_home(self.tracking.home, "models") if self.tracking.made else nullcontext()
        with lock, self.tracking.in_one_line(what):
            yield

    def _point(self, alias: str, version: str) -> None:
        self.tracking.client().set_registered_model_alias(self.name, alias, version)

    def _note(self, version: str, event: str, why: str) -> None:
        """Keep a move as a tag of its own: nothing that was noted is ever written over."""
        tag = f"{_OUR_TAGS}{event}.{datetime.now(UTC).strftime(_MOVE_TIME)}"
        self.tracking.client().set_model_version_tag(self.name, version, tag, why)

    def _known(self, question: str, which: str) -> RegisteredModel | None:
        """Ask the store for one version; None where it says that there is none."""
        if not self.tracking.made:
            return None
        client = self.tracking.client()
        from mlflow.exceptions import MlflowException

        with self.tracking.in_one_line():
            try:
                found = getattr(client, question)(self.name, which)
            except MlflowException as error:
                if error.error_code in NOT_THERE:
                    return None
                raise
        return self._told(found, found.aliases)

    def _told(self, found: Any, aliases: Iterable[str]) -> RegisteredModel:
        created = EPOCH + timedelta(milliseconds=found.creation_timestamp)
        version, run_id = str(found.version), str(found.run_id)
        return RegisteredModel(found.name, version, run_id, dict(found.tags), tuple(sorted(aliases)), created, self)
