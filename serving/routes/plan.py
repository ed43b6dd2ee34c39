"""What to do about the load to come."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serverload.store.newest_forecasts import issued_until
from serverload.store.plan import NO_PLAN, Plan, PlanRules, plan_in_sql
from serverload.store.plan_inputs import PLAN_TABLES
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, iso_time, json_object, rows_answer, wanted_format
from serving.descriptions import described
from serving.parameters import Time
from serving.service import Service, ServiceOf

router = APIRouter(tags=["plan"], dependencies=TO_READ)


@router.get("/plan", summary="Advice for the next 48 hours", responses=described(*MEDIA_TYPES.values()))
def plan(
    request: Request,
    service: ServiceOf,
    by: Annotated[Literal["type", "file"] | None, Query(description="By the file of groups if there is one.")] = None,
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


def _made(service: Service, by: str | None, as_of: datetime | None) -> Plan:
    """The plan of the newest issued hour, made once for each version of the tables."""
    groups = service.grouping(by)
    key = ("plan", None if groups is None else tuple(sorted(groups.items())), as_of)
    issued = issued_until(service.tables, as_of)

    def made() -> Plan:
        if issued is None:
            return NO_PLAN
        with service.tables.sql(*PLAN_TABLES) as connection:
            return plan_in_sql(connection, PlanRules.of(service.settings), issued, groups=groups, as_of=as_of)

    return service.tables.worked_out(key, PLAN_TABLES, made)
