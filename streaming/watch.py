"""The champion in its first days: who forecasts beside it, and whether it has to give way to the one before."""

from contextlib import suppress

import numpy as np

from serverload.advance.shadows import first_issued_hour, paired_cells
from serverload.contracts.errors import ModelError
from serverload.contracts.settings import Settings
from serverload.model.evaluation import block_bootstrap_difference, scores
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import CHALLENGER, PREVIOUS, ModelRegistry, RegisteredModel
from streaming.champion import Told, checked

_DAY = 24
_GAP_HOURS = 168
"""A stream may have been away so long, and the first hour of a version is still found."""


class ChampionWatch:
    """Names the shadows and compares matured forecasts; a registry that does not answer is the follower's to tell."""

    def __init__(self, tables: DeltaTables, settings: Settings, registry: ModelRegistry, told: Told) -> None:
        self._tables, self._settings, self._registry, self._told = tables, settings, registry, told
        self._tried: dict[str, bool] = {}
        self._since: dict[str, int] = {}
        self._compared: tuple[str, int] | None = None

    def shadows(self, closed: int, at_work: str | None) -> list[RegisteredModel]:
        """The champion before, while the new one is on probation, and the challenger if it is to run in shadow."""
        found: list[RegisteredModel | None] = []
        with suppress(ModelError):
            found.append(self._probation(closed)[1])
            if self._settings.watch.shadow:
                found.append(self._registry.alias(CHALLENGER))
        return [model for model in found if model and model.version != at_work and self._usable(model)]

    def look(self, closed: int) -> None:
        """Once for each day that has closed: roll the champion back where the one before has done better."""
        with suppress(ModelError):
            champion, previous = self._probation(closed)
            if champion is None or previous is None or self._compared == (champion.version, closed // _DAY):
                return
            self._compared = (champion.version, closed // _DAY)
            since = self._first_hour(champion.version, closed)
            worse = None if since is None else self._worse(champion.version, previous.version, since)
            if worse:
                self._registry.rollback(worse)
                told = (
                    f"version {champion.version} is rolled back, version {previous.version} is champion again: {worse}"
                )
                self._told("model_rolled_back", champion.version, told)

    def _probation(self, closed: int) -> tuple[RegisteredModel | None, RegisteredModel | None]:
        """The champion and the one before it; the latter is None once the champion has served its days."""
        hours = self._settings.watch.rollback_days * _DAY
        champion = self._registry.champion()
        if not hours or champion is None:
            return champion, None
        previous = self._registry.alias(PREVIOUS)
        since = self._first_hour(champion.version, closed) if previous else None
        over = since is not None and closed - since >= hours
        return champion, None if over or (previous and previous.version == champion.version) else previous

    def _first_hour(self, version: str, closed: int) -> int | None:
        if version not in self._since:
            earliest = closed - self._settings.watch.rollback_days * _DAY - _GAP_HOURS
            first = first_issued_hour(self._tables, version, earliest)
            if first is None:
                return None
            self._since[version] = first
        return self._since[version]

    def _worse(self, champion: str, previous: str, since: int) -> str:
        """How much worse the champion did, where that is beyond chance; empty otherwise."""
        cells, bounds = paired_cells(self._tables, champion, previous, since), self._settings.watch
        ours, theirs = cells.of(champion), cells.of(previous)
        days, rows = len(np.unique(ours.day)), int(ours.rows.sum())
        if days < bounds.least_days or rows < bounds.least_forecasts:
            return ""
        gain = block_bootstrap_difference(ours, theirs, seed=self._settings.model.seed)["rps"]
        if gain.high >= 0:
            return ""
        return (
            f"RPS {scores(ours).rps:.4f} against {scores(theirs).rps:.4f} on the same {rows:,} matured forecasts of "
            f"{days} days (gain {gain.gain:+.4f}, 95 % {gain.low:+.4f} .. {gain.high:+.4f})"
        )

    def _usable(self, model: RegisteredModel) -> bool:
        """Whether a shadow can be used, tried once; a broken one must not stand in the champion's way."""
        if model.version not in self._tried:
            only, wanted = model.only_horizons, self._settings.forecast.horizons
            try:
                if only and not set(only) & set(wanted):
                    raise ModelError("forecasts none of [forecast] horizons", where=f"version {model.version}")
                checked(self._tables.spark, model)
            except ModelError as error:
                self._tried[model.version] = False
                self._told("shadow_refused", model.version, str(error))
            else:
                self._tried[model.version] = True
                self._told("shadow_taken", model.version, f"version {model.version} forecasts in shadow from now on")
        return self._tried[model.version]
