"""The champion in its first days: who forecasts beside it, and whether it has to give way to the one before."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from serverload.advance.forecasts import IssueRules
from serverload.advance.shadows import first_issued_hour, issue_shadows, paired_cells
from serverload.contracts.errors import ModelError, ServerloadError
from serverload.contracts.settings import Settings
from serverload.model.evaluation import block_bootstrap_difference, scores
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry, RegisteredModel
from serverload.store.registered_models import CHALLENGER, PREVIOUS, ROLLED_BACK
from streaming.champion import Told, checked
from streaming.troubles import standing_troubles

_DAY = 24
_GAP_HOURS = 168
"""A stream may have been away so long, and the first hour of a version is still found."""

_ENDS = {
    "shadow_refused": ("shadow_ended", "no model that cannot be used is to forecast in shadow any more"),
    "rollback_failed": ("rollback_works", "the champion is watched again"),
}
"""Troubles of STREAM_EVENTS that `status` tells until they end, and what is told then."""


@dataclass(frozen=True)
class Probation:
    """The champion, the one before it, and the first hour that the champion issued; None before that."""

    champion: RegisteredModel
    previous: RegisteredModel
    since: int | None


class ChampionWatch:
    """Follows each advance with what the champion's forecasts do not depend on; what fails is told, and no more."""

    def __init__(self, tables: DeltaTables, settings: Settings, registry: ModelRegistry, told: Told) -> None:
        self._tables, self._settings, self._registry, self._told = tables, settings, registry, told
        self._last_told: dict[str, tuple[str, str]] = {}
        self._standing: set[str] | None = None
        self._since: tuple[str, int] | None = None
        self._look_from = 0

    def follow(self, issued: Sequence[int], closed: int, at_work: str | None) -> None:
        """After an advance: let the shadows forecast the hours just issued, and look at the champion."""
        if issued:
            self._guarded("shadow_refused", lambda: self._shadow(issued, at_work))
        self._guarded("rollback_failed", lambda: self._look(closed))

    def shadows(self, closed: int, at_work: str | None) -> list[RegisteredModel]:
        """The champion before, while the new one is on probation, and the challenger if it is to run in shadow.

        One that cannot be used is told and left out; it is tried again each time. A registry that does not answer is
        told by whoever follows the champion.
        """
        return [model for model in self._wanted(closed, at_work) if self._usable(model)]

    def _wanted(self, closed: int, at_work: str | None) -> list[RegisteredModel]:
        found: list[RegisteredModel | None] = []
        with suppress(ModelError):
            if probation := self._probation(closed):
                found.append(probation.previous)
            if self._settings.watch.shadow:
                found.append(self._registry.alias(CHALLENGER))
        distinct = {model.version: model for model in found if model and model.version != at_work}
        return list(distinct.values())

    def _shadow(self, issued: Sequence[int], at_work: str | None) -> bool:
        """Issue; whether all who were to forecast did."""
        wanted = self._wanted(max(issued), at_work)
        if models := [model for model in wanted if self._usable(model)]:
            issue_shadows(self._tables, models, issued, IssueRules.of(self._settings))
        return len(models) == len(wanted)

    def _look(self, closed: int) -> bool:
        """Once a day, at the start, and an hour after a failure: roll back where the one before has done better."""
        if closed < self._look_from:
            return False
        self._look_from = closed + 1
        try:
            probation = self._probation(closed)
        except ModelError:  # told by whoever follows the champion
            return False
        if probation and (worse := self._worse(probation, closed)):
            new, old = probation.champion.version, probation.previous.version
            self._registry.rollback(worse, only=new)
            told = f"version {new} is rolled back, version {old} is champion again: {worse}"
            self._told("model_rolled_back", new, told)
        self._look_from = (closed // _DAY + 1) * _DAY
        return True

    def _probation(self, closed: int) -> Probation | None:
        """The champion's, if there is one before it; none once it has served its days, or was rolled back before.

        A version that came back after a rollback was brought back by people, who know better; one that is champion
        still is in the middle of a rollback.
        """
        hours = self._settings.watch.rollback_days * _DAY
        champion, previous = self._registry.champion(), self._registry.alias(PREVIOUS)
        if champion and self._since and self._since[0] != champion.version:
            self._since = None
        if not hours or champion is None or previous is None or previous.version == champion.version:
            return None
        if not champion.rolled_back and any(move.event == ROLLED_BACK for move in champion.moves):
            return None
        since = self._first_hour(champion.version, closed)
        return None if since is not None and closed - since >= hours else Probation(champion, previous, since)

    def _first_hour(self, version: str, closed: int) -> int | None:
        """The first hour that the champion issued since it is champion, kept while it is."""
        if self._since is None or self._since[0] != version:
            earliest = closed - self._settings.watch.rollback_days * _DAY - _GAP_HOURS
            first = first_issued_hour(self._tables, version, earliest)
            self._since = None if first is None else (version, first)
        return self._since and self._since[1]

    def _worse(self, probation: Probation, closed: int) -> str:
        """How much worse the champion did on whole days, where that is beyond chance and matters; else empty."""
        if probation.since is None:
            return ""
        champion, previous = probation.champion.version, probation.previous.version
        found, bounds = paired_cells(self._tables, champion, previous, probation.since), self._settings.watch
        cells = found.where((found.day > probation.since // _DAY) & (found.day < closed // _DAY))
        ours, theirs = cells.of(champion), cells.of(previous)
        days, rows = len(np.unique(ours.day)), int(ours.rows.sum())
        if days < bounds.least_days or rows < bounds.least_forecasts:
            return ""
        gain = block_bootstrap_difference(ours, theirs, seed=self._settings.model.seed)["rps"]
        if gain.high >= -self._settings.promotion.max_rps_loss:
            return ""
        return (
            f"RPS {scores(ours).rps:.4f} against {scores(theirs).rps:.4f} on the same {rows:,} matured forecasts of "
            f"{days} days (gain {gain.gain:+.4f}, 95 % {gain.low:+.4f} .. {gain.high:+.4f})"
        )

    def _usable(self, model: RegisteredModel) -> bool:
        only, wanted = model.only_horizons, self._settings.forecast.horizons
        try:
            if only and not set(only) & set(wanted):
                raise ModelError("forecasts none of [forecast] horizons", where=f"version {model.version}")
            checked(self._tables.spark, model, self._settings.classes)
        except ModelError as error:
            self._tell_once("shadow_refused", model.version, str(error))
            return False
        self._tell_once("shadow_taken", model.version, f"version {model.version} forecasts in shadow")
        return True

    def _guarded(self, trouble: str, step: Callable[[], bool]) -> None:
        """Take a step; a failure is told as trouble, which ends once the step tells that all is well."""
        try:
            if step() and trouble in self._troubles():
                self._troubles().discard(trouble)
                self._last_told = {of: told for of, told in self._last_told.items() if told[0] != trouble}
                event, detail = _ENDS[trouble]
                self._told(event, None, detail)
        except (ServerloadError, PySparkException, Py4JError, ValueError) as error:
            self._tell_once(trouble, None, str(error).partition("\n")[0])

    def _tell_once(self, event: str, version: str | None, detail: str) -> None:
        """Tell what differs from what was told last of the version."""
        if event in _ENDS:
            self._troubles().add(event)
        if self._last_told.get(version or event) != (event, detail):
            self._last_told[version or event] = event, detail
            self._told(event, version, detail)

    def _troubles(self) -> set[str]:
        """The troubles that stand, those told by a stream before this one among them."""
        if self._standing is None:
            self._standing = standing_troubles(self._tables) & set(_ENDS)
        return self._standing
