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

_DAY = 24
_GAP_HOURS = 168
"""A stream may have been away so long, and the first hour of a version is still found."""


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
        self._last_told: dict[str, str] = {}
        self._since: dict[str, int] = {}
        self._day: int | None = None

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
        found: list[RegisteredModel | None] = []
        with suppress(ModelError):
            if probation := self._probation(closed):
                found.append(probation.previous)
            if self._settings.watch.shadow:
                found.append(self._registry.alias(CHALLENGER))
        distinct = {model.version: model for model in found if model and model.version != at_work}
        return [model for model in distinct.values() if self._usable(model)]

    def _shadow(self, issued: Sequence[int], at_work: str | None) -> None:
        if models := self.shadows(max(issued), at_work):
            issue_shadows(self._tables, models, issued, IssueRules.of(self._settings))

    def _look(self, closed: int) -> None:
        """Once a day, and at the start: roll the champion back where the one before has done better."""
        if self._day == closed // _DAY:
            return
        self._day = closed // _DAY
        probation = None
        with suppress(ModelError):
            probation = self._probation(closed)
        if probation and (worse := self._worse(probation, closed)):
            new, old = probation.champion.version, probation.previous.version
            self._registry.rollback(worse, only=new)
            told = f"version {new} is rolled back, version {old} is champion again: {worse}"
            self._told("model_rolled_back", new, told)

    def _probation(self, closed: int) -> Probation | None:
        """The champion's, if there is one before it; none once it has served its days, or was rolled back before.

        A version that came back after a rollback was brought back by people, who know better; one that is champion
        still is in the middle of a rollback.
        """
        hours = self._settings.watch.rollback_days * _DAY
        champion, previous = self._registry.champion(), self._registry.alias(PREVIOUS)
        if not hours or champion is None or previous is None or previous.version == champion.version:
            return None
        if not champion.rolled_back and any(move.event == ROLLED_BACK for move in champion.moves):
            return None
        since = self._first_hour(champion.version, closed)
        return None if since is not None and closed - since >= hours else Probation(champion, previous, since)

    def _first_hour(self, version: str, closed: int) -> int | None:
        if version not in self._since:
            earliest = closed - self._settings.watch.rollback_days * _DAY - _GAP_HOURS
            first = first_issued_hour(self._tables, version, earliest)
            if first is None:
                return None
            self._since[version] = first
        return self._since[version]

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
            checked(self._tables.spark, model)
        except ModelError as error:
            self._tell_once("shadow_refused", model.version, str(error))
            return False
        self._tell_once("shadow_taken", model.version, f"version {model.version} forecasts in shadow")
        return True

    def _guarded(self, event: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (ServerloadError, PySparkException, Py4JError, ValueError) as error:
            self._tell_once(event, None, str(error).partition("\n")[0])

    def _tell_once(self, event: str, version: str | None, detail: str) -> None:
        """Tell what differs from what was told last of the version."""
        if self._last_told.get(version or event) != detail:
            self._last_told[version or event] = detail
            self._told(event, version, detail)
