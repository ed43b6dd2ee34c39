"""Rows on stdout, as a table, CSV or JSON."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO, cast

from serverload.contracts.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS = ("table", "csv", "json")


def show(rows: "pa.Table", format: str, to: TextIO | None = None) -> None:
    """Print an Arrow table, on stdout unless told otherwise."""
    from serverload.store.table_reader import write_rows

    write_rows(rows, checked_format(format), to or sys.stdout)


def show_plain(rows: Sequence[Mapping[str, object]], format: str, to: TextIO | None = None) -> None:
    """Print rows that all have the same keys; mixed kinds of values in a column are printed as text."""
    import pyarrow as pa

    if not rows and checked_format(format) != "json":
        return  # without a row nobody knows the columns
    columns = {}
    for name in rows[0] if rows else ():
        entries = [row[name] for row in rows]
        kinds = {type(entry) for entry in entries if entry is not None}
        columns[name] = entries if len(kinds) <= 1 else [None if entry is None else _told(entry) for entry in entries]
    show(pa.table(columns), format, to)


def _told(entry: object) -> str:
    return f"{entry.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if isinstance(entry, datetime) else str(entry)


def checked_format(format: str) -> Literal["table", "csv", "json"]:
    """Refuse an unknown format in one line."""
    if format not in _FORMATS:
        raise InputError(f"{format!r} is none of {', '.join(_FORMATS)}", where="--format")
    return cast(Literal["table", "csv", "json"], format)
