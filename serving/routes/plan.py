"""What to do about the load to come."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import pyarrow as pa
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serverload.store.newest_forecasts import issued_until
from serverload.store.plan import NO_PLAN, Plan, PlanRules, plan_in_sql
from serverload.store.plan_inputs import PLAN_TABLES
from serverload.store.plan_replay import replayed_in_sql
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, iso_time, json_object, rows_answer, wanted_format
from serving.descriptions import described
from serving.parameters import Time
from serving.service import Service, ServiceOf

router = APIRouter(tags=["plan"], dependencies=TO_READ)

By = Annotated[Literal["type", "file"] | None, Query(description="By the file of groups if there is one.")]


@router.get("/plan", summary="Advice for the next 48 hours", responses=described(*MEDIA_TYPES.values()))
def plan(
    request: Request,
    service: ServiceOf,
    by: By = None,
    as_of: Annotated[Time | None, Query(description="As believed at this time (UTC).")] = None,
    format: Format | None = None,
) -> Response:
    """Servers to merge, servers that need more, the quietest window of each; as `serverload plan` tells it.

    JSON has besides `plan` when it expires, and `left_out`: servers without advice and why. Once it has expired, no
    advice is left.
    """
    format = wanted_format(request, format)
    made = _made(service, by, as_of).at(as_of or datetime.now(UTC))
    if format is not Format.JSON:
        return rows_answer(made.rows(), format, "plan")
    facts = {"issued_hour": iso_time(made.issued_hour), "expires_at": iso_time(made.expires_at)}
    return Response(
        json_object(facts, {"plan": made.advice, "left_out": made.left_out}), media_type=MEDIA_TYPES[format]
    )


@router.get("/plan/replay", summary="How past advice would have held", responses=described(*MEDIA_TYPES.values()))
def replay(
    request: Request,
    service: ServiceOf,
    by: By = None,
    days: Annotated[int, Query(ge=1, le=92, description="Of so many of the newest days.")] = 14,
    step_hours: Annotated[int, Query(ge=12, le=168, description="A plan so often.")] = 24,
    format: Format | None = None,
) -> Response:
    """As `serverload plan --replay` tells it, a row a kind of advice; no rows before any advice can be judged."""
    format = wanted_format(request, format)
    groups, rules = service.grouping(by), PlanRules.of(service.settings)
    issued = issued_until(service.tables)

    def made() -> pa.Table:
        if issued is None:
            return pa.table({})
        with service.tables.sql(*PLAN_TABLES) as connection:
            rows = replayed_in_sql(connection, rules, issued, groups=groups, days=days, step_hours=step_hours)
        return pa.table({}) if rows is None else rows

    key = ("plan replay", _told(groups), days, step_hours)
    return rows_answer(service.tables.worked_out(key, PLAN_TABLES, made), format, "replay")


def _made(service: Service, by: str | None, as_of: datetime | None) -> Plan:
    """The plan of the newest issued hour, made once for each version of the tables."""
    groups = service.grouping(by)
    key = ("plan", _told(groups), as_of)
    issued = issued_until(service.tables, as_of)

    def made() -> Plan:
        if issued is None:
            return NO_PLAN
        with service.tables.sql(*PLAN_TABLES) as connection:
            return plan_in_sql(connection, PlanRules.of(service.settings), issued, groups=groups, as_of=as_of)

    return service.tables.worked_out(key, PLAN_TABLES, made)


def _told(groups: Mapping[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    """The groups as part of a key."""
    return None if groups is None else tuple(sorted(groups.items()))
