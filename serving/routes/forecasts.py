"""Forecasts as they were issued."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serverload.contracts.instants import EPOCH, HOUR
from serverload.store.newest_forecasts import ForecastQuery, found_forecasts, issued_until, last_target
from serverload.store.table_reader import LONGEST_HORIZON
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format, rows_answer, wanted_format
from serving.descriptions import described
from serving.parameters import Servers, Time, hour_of
from serving.problems import bad_field
from serving.service import Service, ServiceOf

router = APIRouter(tags=["forecasts"], dependencies=TO_READ)
LONGEST_RANGE = timedelta(days=31)


@router.get("/forecasts", summary="Issued forecasts", responses=described(*MEDIA_TYPES.values()))
def forecasts(
    request: Request,
    service: ServiceOf,
    server: Servers = None,
    start: Annotated[Time | None, Query(alias="from", description="From this target hour on (UTC).")] = None,
    end: Annotated[Time | None, Query(alias="to", description="Up to and including this target hour (UTC).")] = None,
    as_of: Annotated[Time | None, Query(description="As believed at this time (UTC).")] = None,
    revisions: Annotated[Literal["newest", "all"], Query(description="The newest of each hour, or all.")] = "newest",
    format: Format | None = None,
) -> Response:
    """The forecasts for a range of target hours, the hours after the newest issued one if no other range is given.

    Newest: of each server and target hour that of the newest issued hour, and of this the newest revision.
    """
    format = wanted_format(request, format)
    first, last = _range(service, start, end, as_of)
    most = service.settings.serve.max_rows
    query = ForecastQuery(first, last, tuple(server or ()), as_of, revisions == "all", most + 1)
    rows = found_forecasts(service.tables, query)
    if rows.num_rows > most:
        raise bad_field("query", "to", f"more than {most:,} rows; narrow from, to or server")
    return rows_answer(rows, format, "forecasts")


def _range(
    service: Service, start: datetime | None, end: datetime | None, as_of: datetime | None
) -> tuple[datetime, datetime]:
    """The first and the last target hour that are asked for; a range without hours where there are no forecasts."""
    until = last_target(service.tables) or EPOCH
    if start is None:
        issued = issued_until(service.tables, as_of) or until
        first, until = issued + HOUR, min(until, issued + LONGEST_HORIZON)
    else:
        first = hour_of(start)
    last = until if end is None else hour_of(end)
    if start is not None and end is not None and last < first:
        raise bad_field("query", "to", "is before from")
    if last - first > LONGEST_RANGE:
        raise bad_field("query", "to", f"more than {LONGEST_RANGE.days} days after from; ask in parts")
    return first, last
