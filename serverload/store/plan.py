"""Advice from the tables: read, plan, tell. No Spark."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
from duckdb import DuckDBPyConnection

from serverload.contracts.errors import InputError
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.plan_settings import PlanSettings
from serverload.contracts.settings import Settings
from serverload.planning.advice import Advice, advised
from serverload.planning.outlook import HISTORY_HOURS, Floats, Outlook
from serverload.store.plan_inputs import (
    PLAN_TABLES,
    IssuedForecasts,
    issued_forecasts,
    known_loads,
    server_types,
)
from serverload.store.table_reader import newest_issued_hour, open_table, tables_in_sql

_TIME = pl.Datetime("us", "UTC")
ADVICE_COLUMNS: dict[str, Any] = {
    "advice": pl.String, "server_ip": pl.String, "server_group": pl.String, "merged_servers": pl.String,
    "first_hour": _TIME, "last_hour": _TIME, "expected_load": pl.Float64, "confidence": pl.Float64,
    "reason": pl.String, "issued_hour": _TIME, "model_version": pl.String, "expires_at": _TIME,
}  # fmt: skip
"""`merged_servers`: those that go onto `server_ip`, joined by commas; null where nothing is merged."""


@dataclass(frozen=True)
class PlanRules:
    """How advice is made; loads and hours as in the settings."""

    advice: PlanSettings
    low_max: float
    medium_max: float
    retire_after_hours: int

    @classmethod
    def of(cls, settings: Settings) -> "PlanRules":
        """The rules that the settings make."""
        classes = settings.classes
        return cls(settings.plan, classes.low_max, classes.medium_max, settings.time.retire_after_hours)


@dataclass(frozen=True, eq=False)
class Plan:
    """Advice (columns ADVICE_COLUMNS) from one issued hour, and the servers without any (`server_ip`, `reason`).

    It stands until a newer hour is issued, and until `expires_at` at most; both times are None without forecasts.
    """

    advice: pl.DataFrame
    left_out: pl.DataFrame
    issued_hour: datetime | None = None
    expires_at: datetime | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return int(self.advice.estimated_size() + self.left_out.estimated_size())

    def rows(self) -> pa.Table:
        """The advice as Arrow."""
        return self.advice.to_arrow(compat_level=pl.CompatLevel.oldest())

    def at(self, now: datetime) -> "Plan":
        """What is left of it at a time: no advice once it has expired, and every server with that as the reason."""
        if self.expires_at is None or now <= self.expires_at:
            return self
        stale = f"its forecasts are stale: advice from them has expired at {self.expires_at:%Y-%m-%d %H:%M}Z"
        servers = pl.concat([self.advice["server_ip"], self.left_out["server_ip"]]).unique().sort()
        return replace(self, advice=self.advice.clear(), left_out=_left_out(dict.fromkeys(servers, stale)))


NO_PLAN = Plan(pl.DataFrame(schema=ADVICE_COLUMNS), pl.DataFrame(schema={"server_ip": pl.String, "reason": pl.String}))


def plan(
    home: str, rules: PlanRules, *, groups: Mapping[str, str] | None = None, as_of: datetime | None = None
) -> Plan:
    """Advice for the hours after the newest issued one, as it stands now, or as it stood at a time.

    `groups`: group by server; by server type without. Only forecasts that had been written by `as_of` count; hours
    are those that the tables have now. Raises InputError without a home or forecasts, StoreError.
    """
    with tables_in_sql(home, *PLAN_TABLES) as connection:
        issued = newest_issued_hour(connection, open_table(home, "forecasts"), as_of)
        if issued is None:
            raise InputError(f"no forecasts yet in {home}", hint="run `serverload train` and `serverload stream`")
        return plan_in_sql(connection, rules, issued, groups=groups, as_of=as_of).at(as_of or datetime.now(UTC))


def plan_in_sql(
    connection: DuckDBPyConnection,
    rules: PlanRules,
    issued: datetime,
    *,
    groups: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
) -> Plan:
    """The same from a connection that sees PLAN_TABLES, of one issued hour, whether or not it has expired."""
    forecasts = issued_forecasts(connection, issued, as_of=as_of)
    if forecasts is None:
        return NO_PLAN
    origin = hour_number(issued)
    first, retire = origin - HISTORY_HOURS + 1, rules.retire_after_hours
    past = known_loads(connection, forecasts.servers, first=first, last=origin, retire_after_hours=retire)
    group_of = server_types(connection) if groups is None else groups
    outlook = outlook_of(forecasts, past, group_of, rules)
    expires = forecasts.issued_at.astimezone(UTC) + timedelta(minutes=rules.advice.valid_minutes)
    common = {"issued_hour": hour_start(origin), "model_version": forecasts.model_version, "expires_at": expires}
    rows = [_row(advice, outlook, origin + 1) | common for advice in advised(outlook, rules.advice, origin + 1)]
    advice = pl.DataFrame(rows, schema=ADVICE_COLUMNS)
    return Plan(advice, _left_out(forecasts.left_out), hour_start(origin), expires)


def outlook_of(forecasts: IssuedForecasts, past: Floats, group_of: Mapping[str, str], rules: PlanRules) -> Outlook:
    """What advice is made from: the forecasts of an issued hour, and the loads of the hours before it."""
    of_server = tuple(group_of.get(name, "") for name in forecasts.servers)
    return Outlook(
        forecasts.servers, of_server, forecasts.probabilities, forecasts.said, past, rules.low_max, rules.medium_max
    )


def _row(advice: Advice, outlook: Outlook, first_hour: int) -> dict[str, object]:
    return {
        "advice": advice.kind.value,
        "server_ip": outlook.servers[advice.server],
        "server_group": outlook.groups[advice.server],
        "merged_servers": ",".join(outlook.servers[other] for other in advice.others) or None,
        "first_hour": hour_start(first_hour + advice.first),
        "last_hour": hour_start(first_hour + advice.last),
        "expected_load": advice.load,
        "confidence": advice.confidence,
        "reason": advice.reason,
    }


def _left_out(reasons: Mapping[str, str]) -> pl.DataFrame:
    return pl.DataFrame(sorted(reasons.items()), schema={"server_ip": pl.String, "reason": pl.String}, orient="row")
