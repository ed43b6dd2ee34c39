"""All servers at a glance."""

from datetime import datetime
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serverload.contracts.instants import HOUR, hour_start
from serverload.steps.watermark import newest_closed_hour, watermark
from serverload.store.fleet_hours import LastHours, last_hours
from serverload.store.newest_forecasts import ForecastQuery, found_forecasts, issued_until
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format
from serving.descriptions import described
from serving.fleet_view import FleetView, boundary, coming_columns, past_letters, past_loads
from serving.kept_answer import KeptAnswer, answered
from serving.routes.servers import By, grouped_servers
from serving.service import Service, ServiceOf

router = APIRouter(tags=["fleet"], dependencies=TO_READ)
HOURS_AHEAD = 48
_MOST_PAST = 24 * 7


@router.get(
    "/fleet", summary="Servers x hours", response_model=FleetView, responses=described(MEDIA_TYPES[Format.JSON])
)
def fleet(
    request: Request,
    service: ServiceOf,
    past: Annotated[int, Query(ge=1, le=_MOST_PAST, description="So many past hours.")] = 48,
    by: Annotated[By | None, Query(description="Groups: of the file if there is one.")] = None,
) -> Response:
    """The last hours of every server as they were and the next 48 as forecast, in columns; with an ETag."""
    # told before the forecasts are read: should they change meanwhile, the answer is made again
    version = service.tables.version("forecasts")
    servers, grouped_by = grouped_servers(service, by)
    issued = issued_until(service.tables)
    last = boundary(issued, _closed(service, servers))
    issued_at = service.newest_issued_at()
    hours = _past(service, last, past)
    coming = _coming(service, last, hours)
    groups = dict(zip(servers["server_ip"], servers["group"], strict=True))

    def made(_before: KeptAnswer | None) -> KeptAnswer:
        view = FleetView(
            first_hour=None if last is None else hour_start(hours.first),
            past_hours=past,
            hours_ahead=HOURS_AHEAD,
            issued_hour=issued,
            issued_at=issued_at,
            low_max=service.rules.low_max,
            medium_max=service.rules.medium_max,
            grouped_by=grouped_by,
            servers=hours.servers,
            groups=[groups.get(name, "") for name in hours.servers],
            past=past_letters(hours, low_max=service.rules.low_max, medium_max=service.rules.medium_max),
            loads=past_loads(hours),
            **coming_columns(coming, hours.servers, (last or 0) + 1, HOURS_AHEAD),
        )
        return KeptAnswer.of(view)

    stamp = (hours, version, issued_at, tuple(groups.values()))
    return answered(request, service.tables.kept.get(("fleet", past, grouped_by), stamp, made))


def _closed(service: Service, servers: pl.DataFrame) -> int | None:
    """The newest hour that the watermark has closed."""
    events: list[datetime] = servers["last_event"].drop_nulls().to_list()
    return newest_closed_hour(watermark(events, service.settings.time.allowed_lateness_minutes))


def _past(service: Service, last: int | None, count: int) -> LastHours:
    def asked() -> LastHours:
        with service.tables.sql("hourly_load", "servers") as connection:
            retire = service.rules.retire_after_hours
            return last_hours(connection, last=last or 0, count=count, retire_after_hours=retire)

    return service.tables.worked_out(("last hours", last, count), ["hourly_load", "servers"], asked)


def _coming(service: Service, last: int | None, hours: LastHours) -> pl.DataFrame:
    first = hour_start(last or 0) + HOUR
    query = ForecastQuery(first, first + (HOURS_AHEAD - 1) * HOUR, most=len(hours.servers) * HOURS_AHEAD)
    return pl.DataFrame(pl.from_arrow(found_forecasts(service.tables, query)))
