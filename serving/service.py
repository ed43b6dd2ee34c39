"""What the addresses share in a worker process: the tables, the model, keys, groups, limits."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Annotated

from fastapi import Depends, Request

from serverload.contracts.errors import ServerloadError
from serverload.contracts.settings import Settings
from serverload.model.decision import Decision
from serverload.model.prediction_sets import Thresholds, thresholds_by_group
from serverload.store.held_tables import HeldTables
from serverload.store.newest_forecasts import issued_until, newest_issue
from serverload.store.recent_outcomes import outcome_cells
from serving.champion import LOOK_SECONDS, Champion, ServedModel
from serving.groups import read_groups
from serving.keys import Key, read_keys
from serving.problems import ProblemError, bad_field
from serving.rates import SharedRates
from serving.scoring import Rules
from serving.watched_file import WatchedFile

LOG = logging.getLogger("serverload.serve")


@dataclass(eq=False)
class Service:
    """All that a request may need."""

    settings: Settings
    rules: Rules
    tables: HeldTables
    champion: Champion
    rates: SharedRates
    keys: WatchedFile[tuple[Key, ...]] | None
    groups: WatchedFile[Mapping[str, str]] | None

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> "Service":
        """What the settings make; `folder` is what the processes of one service share."""
        serve = settings.serve
        return cls(
            settings,
            Rules.of(settings),
            HeldTables(settings.home, serve.cache_bytes),
            Champion(folder),
            SharedRates(folder / "rates", serve.requests_per_minute),
            WatchedFile(Path(serve.keys_file), read_keys) if serve.keys_file else None,
            WatchedFile(Path(serve.groups_file), read_groups) if serve.groups_file else None,
        )

    def model(self) -> ServedModel:
        """The model to score with. Raises ProblemError where there is none yet."""
        model = self.champion.model
        if model is None:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "there is no model to score with yet; see /readyz")
        return model

    def grouping(self, by: str | None) -> Mapping[str, str] | None:
        """Group by server, as the file of groups tells; None where server types are the groups.

        `by`: type, file, or None for the file if there is one. Raises ProblemError.
        """
        if by == "file" and self.groups is None:
            raise bad_field("query", "by", "no groups file is set ([serve] groups_file)")
        if by == "type" or self.groups is None:
            return None
        try:
            return dict(self.groups.now())
        except (ServerloadError, OSError) as error:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the file of groups cannot be read") from error

    def decision(self, model: ServedModel, day: date) -> Decision:
        """A version's decision with the thresholds of a day, as `advance.adaptive_sets` has them."""
        decision = model.forest.decision
        if not decision.thresholds:
            return decision

        def made(_before: object) -> Mapping[str, Thresholds]:
            with self.tables.sql("forecast_outcomes", "servers") as connection:
                cells = outcome_cells(connection, model.version, day)
            return thresholds_by_group(cells, decision.coverage, decision.thresholds)

        return replace(decision, thresholds=self.tables.kept.get(("thresholds", model.version, day), None, made))

    def keep_up(self, stop: Event) -> None:
        """Take up what is new until told to stop, before a request has to wait for it."""
        failed = ""
        while not stop.wait(LOOK_SECONDS):
            self.champion.look()
            try:
                issued = issued_until(self.tables)
                if issued is not None and self.champion.model is not None:
                    self.decision(self.champion.model, issued.date())
                failed = ""
            except Exception as error:
                if str(error) != failed:
                    LOG.exception("the tables cannot be read ahead")
                failed = str(error)

    def newest_issued_at(self) -> datetime | None:
        """When the newest forecasts were issued; None without any."""
        found = newest_issue(self.tables)
        return found.issued_at.astimezone(UTC) if found else None


def service_of(request: Request) -> Service:
    """The service that a request has come to."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]
