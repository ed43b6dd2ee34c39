"""The model that a worker process answers with: taken up when another one is left for it, between two requests."""

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from serverload.contracts.errors import ServerloadError
from serverload.model.flat_files import load_flat
from serverload.model.flat_forest import FlatForest
from serving.standing import PlacedModel, Standing, left, mark

LOOK_SECONDS = 0.5
LOG = logging.getLogger("serverload.serve")


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A version with its forest; a request keeps the one that it began with."""

    name: str
    version: str
    forest: FlatForest
    only_horizons: tuple[int, ...] | None


class Champion:
    """The last good model, and how the registry stands."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet; `folder` is where the watch of the registry leaves what it found."""
        self._folder = folder
        self._mark: tuple[int, int] | None = None
        self._placed: PlacedModel | None = None
        self.model: ServedModel | None = None
        self._before: ServedModel | None = None
        self.standing = Standing()
        self.trouble = ""

    def run(self, stop: Event) -> None:
        """Look again and again until told to stop."""
        while not stop.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Take up what was left since; a forest that cannot be read leaves the one before at work."""
        found = mark(self._folder)
        if found == self._mark:
            return
        try:
            standing = left(self._folder)
            if standing.model and standing.model != self._placed:
                self._before, self.model = self.model, self._loaded(standing.model)
                self._placed = standing.model
        except (ServerloadError, OSError, ValueError) as error:
            if not self.trouble:
                LOG.warning("a new model cannot be taken up: %s", error)
            self.trouble = str(error)
            return
        self._mark, self.standing, self.trouble = found, standing, standing.trouble

    def held(self, version: str) -> ServedModel | None:
        """A version that is at work or was before: what it has issued is still asked about."""
        return next((each for each in (self.model, self._before) if each and each.version == version), None)

    def _loaded(self, placed: PlacedModel) -> ServedModel:
        forest = load_flat(self._folder / placed.folder, f"{placed.name} version {placed.version}")
        return ServedModel(placed.name, placed.version, forest, placed.only_horizons)
