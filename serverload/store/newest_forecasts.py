"""Forecasts for those who ask often: the newest of each server and hour, kept by day; others asked of the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads

from serverload.contracts.errors import StoreError
from serverload.contracts.tables import TABLES
from serverload.store.held_tables import HeldTables
from serverload.store.table_reader import newest_issued_hour

_NAME = "forecasts"
_COLUMNS = list(TABLES[_NAME].column_names)
_TYPES: dict[str, Any] = {
    "STRING": pl.String,
    "INT": pl.Int32,
    "DOUBLE": pl.Float64,
    "DATE": pl.Date,
    "TIMESTAMP": pl.Datetime("us", "UTC"),
}
_FILES_AT_ONCE = 8
_FROM_RANGE = "from forecasts where target_date between $day and $last_day and target_hour between $first and $last"
_ORDER = "order by server_ip, target_hour, issued_hour, revision limit $most"
_NEWEST_ISSUE = """
    select max(issued_at), arg_max(model_version, revision) from forecasts
    where target_date >= $day and issued_hour = $hour
"""
_NEWEST = "row_number() over (partition by server_ip, target_hour order by issued_hour desc, revision desc) = 1"


@dataclass(frozen=True)
class ForecastQuery:
    """Which forecasts are asked for: target hours `first .. last`, of some servers or all, as believed at a time.

    `every_revision`: all that was issued, not the newest of each server and hour alone. `most`: rows at most.
    """

    first: datetime
    last: datetime
    servers: tuple[str, ...] = ()
    as_of: datetime | None = None
    every_revision: bool = False
    most: int = 100_000


@dataclass(frozen=True, eq=False)
class _Day:
    """The newest forecasts of a target day, and the files that were looked into."""

    files: frozenset[str]
    rows: pl.DataFrame

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return int(self.rows.estimated_size())


def issued_until(tables: HeldTables, as_of: datetime | None = None) -> datetime | None:
    """The newest issued hour of the fleet, or what it was at a time; None without forecasts."""
    told = tables.highest(_NAME, "issued_hour") if as_of is None else None
    if told is not None or tables.version(_NAME) < 0:
        return told

    def asked() -> datetime | None:
        with tables.sql(_NAME) as connection:
            return newest_issued_hour(connection, tables.dataset(_NAME), as_of)

    return tables.worked_out(("issued until", as_of), [_NAME], asked)


def last_target(tables: HeldTables) -> datetime | None:
    """The last hour of the last day that has forecasts; None without any."""

    def told() -> datetime | None:
        dataset = tables.dataset(_NAME)
        days = [] if dataset is None else [_day_of(fragment) for fragment in dataset.get_fragments()]
        return datetime.combine(max(days), time(23), UTC) if days else None

    return tables.worked_out("last target", [_NAME], told)


@dataclass(frozen=True)
class NewestIssue:
    """Of the newest issued hour: when its forecasts were written last, and a model version that has issued it."""

    issued_at: datetime
    model_version: str


def newest_issue(tables: HeldTables) -> NewestIssue | None:
    """How the newest forecasts came about; None without any."""
    issued = issued_until(tables)

    def asked() -> NewestIssue | None:
        if issued is None:
            return None
        with tables.sql(_NAME) as connection:
            found = connection.sql(_NEWEST_ISSUE, params={"day": issued.date(), "hour": issued}).fetchall()
        return NewestIssue(*found[0]) if found and found[0][0] else None

    return tables.worked_out("newest issue", [_NAME], asked)


def found_forecasts(tables: HeldTables, query: ForecastQuery) -> pa.Table:
    """The forecasts, columns as in `forecasts`, sorted by server, target hour, issued hour and revision.

    No more than `query.most` rows are read to the end. Raises StoreError.
    """
    if query.as_of is not None or query.every_revision:
        return tables.worked_out(query, [_NAME], lambda: _asked(tables, query))
    if query.last < query.first:
        return _no_rows().to_arrow(compat_level=pl.CompatLevel.oldest())
    days = [query.first.date() + timedelta(days=count) for count in range((query.last - query.first).days + 2)]
    kept = pl.col("target_hour").is_between(query.first, query.last)
    if query.servers:
        kept &= pl.col("server_ip").is_in(query.servers)
    frames = [_newest_of_day(tables, day).filter(kept) for day in days if day <= query.last.date()]
    found = pl.concat(frames).sort("server_ip", "target_hour").head(query.most)
    return found.to_arrow(compat_level=pl.CompatLevel.oldest())


def _asked(tables: HeldTables, query: ForecastQuery) -> pa.Table:
    """Ask the tables themselves; every value is bound, none becomes part of the text."""
    conditions, given = [], dict[str, object]()
    if query.servers:
        conditions.append("server_ip in (select unnest($servers))")
        given["servers"] = list(query.servers)
    if query.as_of is not None:
        conditions.append("issued_at <= $as_of")
        given["as_of"] = query.as_of
    given |= {"first": query.first, "last": query.last, "most": query.most}
    given |= {"day": query.first.date(), "last_day": query.last.date()}
    newest = "" if query.every_revision else f"qualify {_NEWEST}"
    with tables.sql(_NAME) as connection:
        text = " ".join((f"select * {_FROM_RANGE}", *(f"and {each}" for each in conditions), newest, _ORDER))
        found = connection.sql(text, params=given).to_arrow_table()
    return _as_frame(found).to_arrow(compat_level=pl.CompatLevel.oldest())


def _newest_of_day(tables: HeldTables, day: date) -> pl.DataFrame:
    """The newest forecasts for a target day; of files that were looked into before nothing is read again."""

    def made(before: _Day | None) -> _Day:
        dataset = tables.dataset(_NAME)
        found = [] if dataset is None else list(dataset.get_fragments(pads.field("target_date") == day))
        fragments = {fragment.path: fragment for fragment in found}
        if before is None or not before.files <= fragments.keys():
            before = _Day(frozenset(), _no_rows())
        new = [fragments[path] for path in fragments.keys() - before.files]
        try:
            return _Day(frozenset(fragments), _merged(before.rows, dataset, new))
        except (pa.ArrowException, OSError) as error:
            what = f"cannot be read: {error}"
            raise StoreError(what, where=f"{tables.home}/tables/{_NAME}", hint="see `serverload doctor`") from error

    return tables.renewed(("newest of day", day), [_NAME], made).rows


def _merged(rows: pl.DataFrame, dataset: Any, fragments: Sequence[pads.Fragment]) -> pl.DataFrame:
    for start in range(0, len(fragments), _FILES_AT_ONCE):
        some = fragments[start : start + _FILES_AT_ONCE]
        part = pads.FileSystemDataset(some, dataset.schema, dataset.format, dataset.filesystem).to_table()
        newest_first = pl.concat([rows, _as_frame(part)]).sort("issued_hour", "revision", descending=True)
        rows = newest_first.unique(["server_ip", "target_hour"], keep="first")
    return rows.sort("server_ip", "target_hour")


def _as_frame(table: pa.Table) -> pl.DataFrame:
    """The columns of `forecasts`; one that an older table has not got yet is null."""
    frame = pl.DataFrame(pl.from_arrow(table)).with_columns(
        pl.col(pl.Datetime).dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    )
    return pl.concat([_no_rows(), frame], how="diagonal").select(_COLUMNS)


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema={column.name: _TYPES[column.type] for column in TABLES[_NAME].columns})


def _day_of(fragment: pads.Fragment) -> date:
    day: date = pads.get_partition_keys(fragment.partition_expression)["target_date"]
    return day
