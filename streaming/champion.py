"""The model that a stream issues with: the champion, or the last good one where that cannot be had."""

from collections.abc import Callable

from pyspark.sql import SparkSession

from serverload.contracts.errors import ModelError
from serverload.contracts.settings import ClassSettings
from serverload.model.forecasting import check_scores
from serverload.store.model_registry import ModelRegistry, RegisteredModel

Told = Callable[[str, str | None, str], None]
"""Hears of an event of STREAM_EVENTS, the model version that it is about, and details; of each change once."""


class ChampionFollower:
    """Takes up a new champion between micro-batches; one that cannot be used leaves the model before at work."""

    def __init__(
        self,
        spark: SparkSession,
        registry: ModelRegistry,
        classes: ClassSettings,
        issued_by: Callable[[], str | None],
        told: Told,
        *,
        away: bool = False,
    ) -> None:
        """`issued_by` gives the version that issued last: after a restart, the last good one.

        `away`: whether the registry was told to be away by a stream that ended since.
        """
        self._spark, self._registry, self._issued_by, self._told = spark, registry, issued_by, told
        self._classes = classes
        self._good: RegisteredModel | None = None
        self._refused, self._away = "", away

    @property
    def at_work(self) -> str | None:
        """The version that was given last."""
        return self._good.version if self._good else None

    def current(self) -> RegisteredModel | None:
        """The model to issue with; None where there is none yet, or none that can be used."""
        try:
            champion = self._registry.champion()
        except ModelError as error:
            if self._good is None:
                raise
            self._tell_away(str(error))
            return self._good
        self._tell_away("")
        if champion is None:
            return self._good
        if self._good is None or champion.version != self._good.version:
            self._take(champion)
        elif self._refused:
            self._refused = ""
            self._told("model_taken", champion.version, f"the champion is version {champion.version} again")
        return self._good

    def _take(self, champion: RegisteredModel) -> None:
        try:
            checked(self._spark, champion, self._classes)
        except ModelError as error:
            if self._refused != champion.version:
                self._refused = champion.version
                self._told("model_refused", champion.version, str(error))
            if self._good is None:
                self._good = self._last_good()
            return
        self._refused, self._good = "", champion
        self._told("model_taken", champion.version, f"{champion.name} version {champion.version} issues from now on")

    def _last_good(self) -> RegisteredModel | None:
        version = self._issued_by()
        model = self._registry.version(version) if version else None
        try:
            return model and checked(self._spark, model, self._classes)
        except ModelError:
            return None

    def _tell_away(self, why: str) -> None:
        if bool(why) != self._away:
            self._away = bool(why)
            self._told("registry_away" if why else "registry_back", self.at_work, why or "answers again")


def checked(spark: SparkSession, model: RegisteredModel, classes: ClassSettings) -> RegisteredModel:
    """The model, loaded and tried.

    Raises ModelError where its artefacts are missing, it cannot score, or its classes are others than those given.
    """
    model.require_classes(classes)
    try:
        check_scores(spark, model.pipeline())
    except ModelError as error:
        hint = "`serverload rollback`, or train anew and promote"
        raise ModelError(str(error), where=f"{model.name} version {model.version}", hint=hint) from error
    return model
