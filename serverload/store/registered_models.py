"""The versions of a registered model as the registry tells of them, and their flat forests; needs no Spark."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from serverload.contracts.errors import ModelError
from serverload.contracts.instants import EPOCH
from serverload.contracts.settings import ClassSettings
from serverload.model.decision import Decision
from serverload.model.flat_forest import FlatForest
from serverload.store.flat_models import stored_flat
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

ORIGIN_TAG = "serverload.origin"
"""Tag of a version that came from another registry: from where, and the checksum of its manifest."""

_OUR_TAGS = "serverload."
_MOVE_TAG = re.compile(rf"{re.escape(_OUR_TAGS)}({PROMOTED}|{ROLLED_BACK})\.(\S+)")
_MOVE_TIME = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Move:
    """What befell a version, PROMOTED or ROLLED_BACK: when (UTC), and why."""

    event: str
    at: datetime
    why: str


def move_tag(event: str, at: datetime) -> str:
    """The tag that keeps a move, named by its time: nothing that was noted is ever written over."""
    return f"{_OUR_TAGS}{event}.{at.strftime(_MOVE_TIME)}"


@dataclass
class KnownModel:
    """One version of the registered model, and the run that made it; tags and aliases as they stood when asked."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    created: datetime
    registry: "KnownModels[Any]" = field(repr=False, compare=False)

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

    def learned(self, classes: ClassSettings) -> bool:
        """Whether its classes are these; also where it does not tell its own."""
        return not self._other_bounds(classes)

    def require_classes(self, classes: ClassSettings) -> None:
        """Raises ModelError where it has learned other classes than these."""
        if others := self._other_bounds(classes):
            what = f"it has learned other classes than [classes] has: {', '.join(others)}"
            hint = "set [classes] back, or `serverload retrain`"
            raise ModelError(what, where=f"{self.name} version {self.version}", hint=hint)

    def _other_bounds(self, classes: ClassSettings) -> list[str]:
        told = ((name, self.tags.get(name, bound), bound) for name, bound in classes.facts().items())
        return [f"{name} {theirs}, not {bound}" for name, theirs, bound in told if theirs != bound]

    @property
    def only_horizons(self) -> tuple[int, ...] | None:
        """The horizons (h) that alone it can forecast; None where the horizon is one of its inputs."""
        if self.tags.get("feature_set") != "article":
            return None
        return tuple(int(hours) for hours in self.tags["training_horizons"].split(","))


Model = TypeVar("Model", bound=KnownModel)


class KnownModels(Generic[Model]):
    """What an MLflow store knows of one registered model; reading only."""

    kind: type[Model]

    def __init__(self, tracking_uri: str, name: str, home: str) -> None:
        """Nothing is opened or made yet; an empty `tracking_uri` means a sqlite file in the (local) home."""
        self.tracking = Tracking(tracking_uri, home)
        self.name = name
        self._mine = f"name = '{name}'"

    def champion(self) -> Model | None:
        """The version with the alias `champion`; None when the registry is empty or not yet made (nor made now)."""
        return self.alias(CHAMPION)

    def alias(self, name: str) -> Model | None:
        """The version with an alias, as CHAMPION, CHALLENGER or PREVIOUS; None where no version has it."""
        return self._known("get_model_version_by_alias", name)

    def versions(self) -> list[Model]:
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

    def version(self, version: str) -> Model | None:
        """One version; None when it is not registered."""
        return self._known("get_model_version", version)

    def required(self, version: str) -> Model:
        """One version. Raises ModelError when it is not registered."""
        found = self.version(version)
        if found is None:
            hint = "`serverload models` lists those that are"
            raise ModelError(f"{self.name} version {version} is not registered", where=self.tracking.place, hint=hint)
        return found

    def flat(self, version: str) -> FlatForest:
        """The forest of a version without Spark, read anew. Raises ModelError, naming the version, if none is there."""
        where = f"{self.required(version).name} version {version}"
        return stored_flat(self.tracking, f"models:/{self.name}/{version}", where)

    def _known(self, question: str, which: str) -> Model | None:
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

    def _told(self, found: Any, aliases: Iterable[str]) -> Model:
        created = EPOCH + timedelta(milliseconds=found.creation_timestamp)
        version, run_id = str(found.version), str(found.run_id)
        return self.kind(found.name, version, run_id, dict(found.tags), tuple(sorted(aliases)), created, self)


class ModelList(KnownModels[KnownModel]):
    """The versions for those who do not load pipelines."""

    kind = KnownModel
