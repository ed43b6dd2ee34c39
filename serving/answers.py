"""Rows as the caller wants them: JSON, CSV or Arrow; times as ISO UTC (`...Z`) where they are text."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from io import BytesIO

import polars as pl
import pyarrow as pa
from fastapi import Request
from fastapi.responses import Response

from serving.problems import ProblemError

_ISO = "%Y-%m-%dT%H:%M:%S%.fZ"


class Format(StrEnum):
    """How rows can be asked for, by `format=` or by the Accept header."""

    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}


def wanted_format(request: Request, asked: Format | None) -> Format:
    """The format that is asked for, else the first that the Accept header takes. Raises ProblemError without one."""
    if asked is not None:
        return asked
    accepted = [_media_type(each) for each in request.headers.get("accept", "*/*").split(",")]
    for media_type, weight in sorted(accepted, key=lambda each: -each[1]):
        for format, ours in MEDIA_TYPES.items():
            if weight > 0 and media_type in (ours, "*/*", f"{ours.partition('/')[0]}/*"):
                return format
    raise ProblemError(HTTPStatus.NOT_ACCEPTABLE, f"rows come as {', '.join(MEDIA_TYPES.values())}")


def _media_type(text: str) -> tuple[str, float]:
    """A media type of an Accept header and its weight; one that cannot be read counts as 0."""
    media_type, *parameters = (part.strip() for part in text.split(";"))
    weights = [part[2:] for part in parameters if part.startswith("q=")]
    try:
        return media_type.lower(), float(weights[0]) if weights else 1.0
    except ValueError:
        return media_type.lower(), 0.0


def rows_answer(rows: pa.Table, format: Format, name: str) -> Response:
    """The rows in a format; as JSON they stand in an object under `name`."""
    if format is Format.ARROW:
        stream = BytesIO()
        with pa.ipc.new_stream(stream, rows.schema) as writer:
            writer.write_table(rows)
        content = stream.getvalue()
    elif format is Format.CSV:
        content = told_times(pl.DataFrame(pl.from_arrow(rows))).write_csv().encode()
    else:
        content = json_object({}, {name: pl.DataFrame(pl.from_arrow(rows))})
    return Response(content, media_type=MEDIA_TYPES[format])


def json_rows(rows: pl.DataFrame) -> bytes:
    """Rows as a JSON list of objects; NaN is null."""
    return told_times(rows).write_json().encode()


def json_object(facts: Mapping[str, object], lists: Mapping[str, pl.DataFrame]) -> bytes:
    """A JSON object of facts and of lists of rows, each below its name."""
    parts = [f"{json.dumps(name)}:{json.dumps(fact, ensure_ascii=False)}".encode() for name, fact in facts.items()]
    parts += [json.dumps(name).encode() + b":" + json_rows(rows) for name, rows in lists.items()]
    return b"{" + b",".join(parts) + b"}"


def iso_time(time: datetime | None) -> str | None:
    """A time as ISO text."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def told_times(rows: pl.DataFrame) -> pl.DataFrame:
    """Times as ISO text."""
    return rows.with_columns(pl.col(pl.Datetime).dt.strftime(_ISO))
