"""The registered models: loading a version, registering a new one, and how the aliases move."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pyspark.ml import PipelineModel

from serverload.contracts.errors import ModelError
from serverload.model.decision import Decision
from serverload.store.flat_registration import store_flat
from serverload.store.locks import held_for_home
from serverload.store.model_files import load_pipeline, store_pipeline
from serverload.store.registered_models import (
    CHALLENGER,
    CHAMPION,
    DECISION_TAG,
    PREVIOUS,
    PROMOTED,
    ROLLED_BACK,
    VERSION_TAG,
    KnownModel,
    KnownModels,
    move_tag,
)

_MOST_LOADED = 4
"""At work, before it, in shadow, and one to come: a stream that lives for months meets many more."""


@dataclass
class RegisteredModel(KnownModel):
    """One version of the registered model, as it can be applied by Spark."""

    registry: "ModelRegistry" = field(repr=False, compare=False)

    def pipeline(self) -> PipelineModel:
        """The fitted pipeline, loaded once per registry object. Raises ModelError when its artefacts are missing."""
        return self.registry.load(self.version)


class ModelRegistry(KnownModels[RegisteredModel]):
    """The versions of one registered model in an MLflow store: to load, register, promote, roll back."""

    kind = RegisteredModel

    def __init__(self, tracking_uri: str, name: str, home: str) -> None:
        """Nothing is opened or made yet; an empty `tracking_uri` means a sqlite file in the (local) home."""
        super().__init__(tracking_uri, name, home)
        self._loaded: dict[str, PipelineModel] = {}

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
        """Keep a move as a tag of its own."""
        tag = move_tag(event, datetime.now(UTC))
        self.tracking.client().set_model_version_tag(self.name, version, tag, why)
