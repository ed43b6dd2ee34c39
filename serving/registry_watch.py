"""Follows the registry for all worker processes: fetches each new champion, keeps the last good one where it cannot."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from threading import Event
from typing import Any

import numpy as np

from serverload.contracts.errors import ServerloadError
from serverload.contracts.instants import hour_number
from serverload.contracts.settings import ClassSettings
from serverload.model.flat_files import save_flat
from serverload.model.flat_forest import FlatForest
from serverload.steps.features import feature_rows
from serverload.steps.hours import unseen_server
from serverload.store.model_list import model_rows
from serverload.store.registered_models import KnownModel, ModelList
from serving.standing import PlacedModel, Standing, leave

LOG = logging.getLogger("serverload.serve")
_ROUNDING = 1e-6
_A_DAY = datetime.fromisoformat("2016-06-01T00:00:00+00:00")


class RegistryWatch:
    """Asks the registry, and leaves what it found in a folder; the processes that answer never ask themselves."""

    def __init__(
        self, registry: ModelList, folder: Path, classes: ClassSettings, issued_by: Callable[[], str | None]
    ) -> None:
        """`issued_by` gives the version that issued last: after a restart, the last good one."""
        self._registry, self._folder, self._classes, self._issued_by = registry, folder, classes, issued_by
        self._standing = Standing()
        self._known: Sequence[KnownModel] = ()

    def run(self, stop: Event, every_seconds: float) -> None:
        """Look again and again until told to stop; nothing that befalls a look ends it."""
        while not stop.is_set():
            try:
                self.look()
            except Exception:
                LOG.exception("the registry could not be watched; tried again in %s s", every_seconds)
            stop.wait(every_seconds)

    def look(self) -> None:
        """Ask once, and leave what was found."""
        try:
            champion, versions = self._registry.champion(), self._versions()
            found = replace(self._followed(champion), versions=versions)
        except (ServerloadError, OSError) as error:
            found = replace(self._standing, trouble=f"the registry does not answer: {error}")
        self._tell(found)
        self._standing = replace(found, looked_at=time.time())
        leave(self._standing, self._folder)
        self._tidy()

    def _followed(self, champion: KnownModel | None) -> Standing:
        good = self._standing.model
        if champion is None or (good and good.version == champion.version):
            return replace(self._standing, trouble="")
        try:
            return Standing(self._placed(champion))
        except (ServerloadError, OSError) as error:
            trouble = f"champion {champion.version} cannot be used: {error}"
            return Standing(good or self._last_good(), trouble)

    def _last_good(self) -> PlacedModel | None:
        try:
            version = self._issued_by()
            model = self._registry.version(version) if version else None
            return self._placed(model) if model else None
        except (ServerloadError, OSError):
            return None

    def _placed(self, model: KnownModel) -> PlacedModel:
        """Fetch a version's forest and lay it, with the version's decision, into a folder of its own."""
        model.require_classes(self._classes)
        forest = replace(self._registry.flat(model.version), decision=model.decision)
        check_scores(forest)
        folder = Path(mkdtemp(prefix=f"{model.version}-", dir=self._folder))
        save_flat(forest, folder)
        return PlacedModel(model.name, model.version, folder.name, model.only_horizons)

    def _versions(self) -> Sequence[Mapping[str, Any]]:
        """The rows of all versions, made anew only when one of them has changed."""
        known = self._registry.versions()
        if known == self._known and self._standing.looked_at:
            return self._standing.versions
        rows = [asdict(row) for row in model_rows(self._registry)]
        self._known = known
        return [{name: _plain(entry) for name, entry in row.items()} for row in rows]

    def _tell(self, found: Standing) -> None:
        if found.trouble and found.trouble != self._standing.trouble:
            LOG.warning(
                "%s; %s", found.trouble, f"version {found.model.version} answers" if found.model else "no model"
            )
        if found.model and found.model != self._standing.model:
            LOG.warning("%s version %s answers from now on", found.model.name, found.model.version)

    def _tidy(self) -> None:
        """Take away forests that no process reads any more: all but the newest two."""
        folders = [each for each in self._folder.iterdir() if each.is_dir() and "-" in each.name]
        at_work = self._standing.model.folder if self._standing.model else ""
        for folder in sorted(folders, key=os.path.getmtime)[:-2]:
            if folder.name != at_work:
                shutil.rmtree(folder, ignore_errors=True)


def check_scores(forest: FlatForest) -> None:
    """Score one row of which nothing but its time is known. Raises ServerloadError where the forest cannot."""
    hour = np.array([hour_number(_A_DAY)])
    row = feature_rows(unseen_server(int(hour[0]) - 1, 168), hour, np.array([1]))
    total = float(forest.probabilities(row).sum())
    if not abs(total - 1) <= _ROUNDING:
        raise ServerloadError(f"its probabilities add up to {total:g}")


def _plain(entry: object) -> object:
    return f"{entry:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(entry, datetime) else entry
