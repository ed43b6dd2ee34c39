"""How lines come in, and what was refused."""

from datetime import UTC, datetime
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from serverload.store.pipeline import newest_batches, newest_events, refused_by_reason, refused_examples
from serverload.store.status import COUNTS, SOURCES, ingest_facts, stream_facts, time_facts
from serving.access import TO_READ
from serving.answers import MEDIA_TYPES, Format
from serving.descriptions import described
from serving.service import ServiceOf

router = APIRouter(tags=["pipeline"], dependencies=TO_READ)
_TABLES = ("servers", "ingest_log", "stream_log")
_MOST_EVENTS = 50
LONGEST_EXAMPLE = 500


class Batch(BaseModel):
    """A batch as `ingest_log` has it."""

    source: str
    batch_id: int
    batch_time: datetime
    committed_at: datetime
    read: int
    accepted: int
    rejected: int
    skipped: int
    lost_offsets: int | None
    last_event: datetime | None = Field(description="The newest accepted session start.")
    seconds: float = Field(description="From the batch's own time to its commit.")


class Event(BaseModel):
    """An event in the life of the stream."""

    event_at: datetime
    event: str
    model_version: str | None
    detail: str | None


class PipelineStatus(BaseModel):
    """How the line stands; ages follow from `now`."""

    now: datetime
    watermark: datetime | None = Field(description="How far event time has come.")
    newest_closed_hour: datetime | None
    newest_issued_at: datetime | None
    servers: int
    lines: dict[str, dict[str, int]] = Field(description="Of history and live: read, accepted, rejected, skipped.")
    last_live_batch_at: datetime | None
    lost_offsets: int
    troubles: dict[str, str] = Field(description="What is wrong with the stream, by what it is about.")
    batches: list[Batch] = Field(description="The newest first.")
    events: list[Event] = Field(description="The newest first.")


class Example(BaseModel):
    """A refused line, its first 500 characters."""

    line: str
    source: str
    origin: str
    rejected_at: datetime


class Refused(BaseModel):
    """Lines refused for a reason, and some of them."""

    reason: str
    lines: int
    last_at: datetime
    examples: list[Example]


class Rejects(BaseModel):
    """Refused lines by reason, most first."""

    read: int = Field(description="All lines that were read.")
    rejects: list[Refused]


_JSON = described(MEDIA_TYPES[Format.JSON])


@router.get("/pipeline", summary="How lines come in", responses=_JSON)
def pipeline(
    service: ServiceOf,
    batches: Annotated[int, Query(ge=1, le=1000, description="So many of the newest batches.")] = 120,
) -> PipelineStatus:
    """Watermark, lines in and refused, the newest batches, what befell the stream."""
    now = datetime.now(UTC)
    with service.tables.sql(*_TABLES) as connection:
        time = time_facts(connection, service.settings.time.allowed_lateness_minutes)
        lines = ingest_facts(connection, now)
        stream = stream_facts(connection)
        newest = newest_batches(connection, batches)
        events = newest_events(connection, _MOST_EVENTS)
    told = {
        **time,
        "now": now,
        "newest_issued_at": service.newest_issued_at(),
        "lines": {source: {count: lines[f"{source}_lines_{count}"] for count in COUNTS} for source in SOURCES},
        "last_live_batch_at": lines["last_live_batch_at"],
        "lost_offsets": stream.pop("lost_offsets"),
        "troubles": {name.removesuffix("_trouble"): line for name, line in stream.items() if line},
        "batches": newest.to_pylist(),
        "events": events.to_pylist(),
    }
    return PipelineStatus.model_validate(told)


@router.get("/rejects", summary="Refused lines by reason, with examples", responses=_JSON)
def rejects(
    service: ServiceOf,
    examples: Annotated[int, Query(ge=0, le=20, description="So many lines of each reason.")] = 3,
) -> Rejects:
    """How many lines were refused for what, and the newest of them, as they came; the text may be anything."""
    tables = service.tables

    def asked() -> Rejects:
        with tables.sql("ingest_log") as connection:
            reasons = refused_by_reason(connection)
            read = connection.sql("select coalesce(sum(read), 0)::bigint from ingest_log").fetchall()[0][0]
        shown = refused_examples(tables.dataset("rejects"), reasons["last_batch"].to_list(), examples)
        lines = shown.with_columns(pl.col("line").str.slice(0, LONGEST_EXAMPLE)).to_dicts()
        refused = [
            each | {"examples": [line for line in lines if line["reason"] == each["reason"]]}
            for each in reasons.to_dicts()
        ]
        return Rejects.model_validate({"read": read, "rejects": refused})

    return tables.worked_out(("rejects", examples), ["ingest_log", "rejects"], asked)
