"""The one idempotent step that batch and streaming share: bring everything below `load_windows` up to date.

Each part reads what the tables say, finds the difference to what they should say, and writes that alone; what a
crash left undone is done by the next call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from serverload.advance.adaptive_sets import AdaptiveSets
from serverload.advance.changes import hour_changes
from serverload.advance.forecasts import (
    HOURLY_NOTE,
    IssueRules,
    ScoringModel,
    due_origins,
    issue_forecasts,
    issued_hour,
    issuing_version,
    revise_forecasts,
)
from serverload.advance.hours import refresh_hours
from serverload.advance.outcomes import MATURED_NOTE, mature_forecasts
from serverload.contracts.instants import from_micros
from serverload.contracts.settings import Settings
from serverload.model.decision import Decision
from serverload.steps.watermark import newest_closed_hour, watermark
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home


@dataclass(frozen=True)
class Advanced:
    """How things stand after a run: the watermark, the newest closed hour, the hours issued just now."""

    watermark: datetime | None
    closed_hour: int | None
    issued: tuple[int, ...] = ()
    waits_for_model: bool = False


class Advance:
    """Runs the step. What it remembers between runs only spares it looking at the same commits again."""

    def __init__(self, tables: DeltaTables, settings: Settings) -> None:
        self._tables = tables
        self._settings = settings
        self._rules = IssueRules.of(settings)
        self._sets = AdaptiveSets(tables)
        self._looked_at = -1

    def run(
        self,
        champion: Callable[[], ScoringModel | None] = lambda: None,
        by_version: Callable[[str], ScoringModel | None] = lambda _version: None,
    ) -> Advanced:
        """Bring hours, forecasts and outcomes up to date.

        `champion` gives the model to issue with, once per run, or None where there is none yet; `by_version` the
        one that issued before.
        """
        with held_for_home(self._tables.home, "advance"):
            servers = refresh_hours(self._tables)
            reached = fleet_watermark(self._tables, self._settings.time.allowed_lateness_minutes, servers)
            closed = newest_closed_hour(reached)
            if closed is None:
                return Advanced(reached, None)
            model = champion()
            origins = self._forecast(closed, model, by_version)
            if model:  # without one, closed hours are still to be issued, and would be matured before
                self._mature(closed)
            self._looked_at = self._tables.version("hourly_load")
            return Advanced(reached, closed, tuple(origins), waits_for_model=model is None)

    def _forecast(
        self, closed: int, model: ScoringModel | None, by_version: Callable[[str], ScoringModel | None]
    ) -> list[int]:
        newest = issued_hour(self._tables)
        origins = due_origins(newest, closed, self._rules.catch_up_hours) if model else []
        if newest is not None and not origins:
            self._revise(newest, by_version)
        if model and origins:
            issue_forecasts(self._tables, model, self._decision(model, min(origins)), origins, self._rules)
        return origins

    def _decision(self, model: ScoringModel, origin: int) -> Decision:
        return self._sets.decision(model.version, model.decision, origin)

    def _revise(self, origin: int, by_version: Callable[[str], ScoringModel | None]) -> None:
        version = self._tables.version("hourly_load")
        since = self._since("forecasts")
        if not hour_changes(self._tables, since, version).up_to(origin):
            return
        issuer = issuing_version(self._tables, origin)
        model = by_version(issuer) if issuer else None
        if model:
            revise_forecasts(self._tables, model, self._decision(model, origin), origin, self._rules, version)

    def _mature(self, closed: int) -> None:
        if self._tables.version("forecasts") < 0:
            return
        version = self._tables.version("hourly_load")
        until = self._tables.newest_note("forecast_outcomes", MATURED_NOTE)
        changes = hour_changes(self._tables, self._since("forecast_outcomes"), version)
        if until is not None and closed <= until and not changes.up_to(until):
            return
        mature_forecasts(
            self._tables,
            closed if until is None else max(closed, until),  # the watermark may have stepped back
            changes,
            matured_until=until,
            version=version,
            retire_after_hours=self._settings.time.retire_after_hours,
            low_max=self._settings.classes.low_max,
            medium_max=self._settings.classes.medium_max,
        )

    def _since(self, table: str) -> int | None:
        """The version of `hourly_load` that a table was last held against."""
        noted = self._tables.newest_note(table, HOURLY_NOTE)
        return None if noted is None else max(int(noted), self._looked_at)


def fleet_watermark(
    tables: DeltaTables, allowed_lateness_minutes: int, servers: pa.Table | None = None
) -> datetime | None:
    """The watermark as table `servers` has it, which is read now unless its rows are given."""
    return watermark(list(last_events(tables, servers).values()), allowed_lateness_minutes)


def last_events(tables: DeltaTables, servers: pa.Table | None = None) -> dict[str, datetime]:
    """The newest event (UTC) of each server, as table `servers` has it, which is read now unless its rows are given."""
    rows = tables.read("servers").select("server_ip", "last_event").toArrow() if servers is None else servers
    micros = rows["last_event"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    return dict(zip(rows["server_ip"].to_pylist(), map(from_micros, micros), strict=True))
