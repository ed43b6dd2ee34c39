"""Reading the tables without Spark: Arrow datasets, the newest forecasts, SQL, and rows written as text."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Literal, TextIO

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from duckdb import DuckDBPyConnection
from rich.console import Console
from rich.table import Table as TextTable
from rich.text import Text

from serverload.contracts.classes import MICROS, MICROS_LIMIT
from serverload.contracts.errors import InputError, StoreError
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.lines import MEASURES
from serverload.contracts.tables import LOAD_WINDOW_SUMS, TABLES
from serverload.store.storage_options import delta_options

LONGEST_HORIZON = timedelta(hours=168)
"""No forecast is issued further ahead (settings check it), so older days cannot hold the newest issued hour."""

_DUCKDB_SPELLING = {"`": '"', "<": "(", ">": ")", "TIMESTAMP": "TIMESTAMPTZ"}
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_WIDE_ENOUGH = 100_000
"""Columns of a text table that goes to a file or pipe, where nothing may be cut or folded."""


def open_table(home: str, name: str) -> pads.Dataset | None:
    """The table's newest version as an Arrow dataset; None where it is not made yet. Raises StoreError."""
    address = f"{home}/tables/{name}"
    try:
        return DeltaTable(address, storage_options=delta_options(home)).to_pyarrow_dataset()
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StoreError(f"cannot be read: {error}", where=address, hint="see `serverload doctor`") from error


@contextmanager
def tables_in_sql(home: str, *names: str, home_required: bool = True) -> Iterator[DuckDBPyConnection]:
    """A DuckDB connection in UTC that sees the named tables (all without names) and nothing else of the machine.

    A table that is not made yet is empty; `load_window_sums` is there whenever `load_windows` is.
    Raises InputError where the home holds no table at all, unless `home_required` is false; StoreError.
    """
    wanted = names or tuple(TABLES)
    datasets = {name: open_table(home, name) for name in wanted}
    if home_required and all(dataset is None for dataset in datasets.values()):
        _require_home(home, missing=wanted)
    with sql_over(datasets, f"{home}/tables") as connection:
        yield connection


@contextmanager
def sql_over(datasets: Mapping[str, pads.Dataset | None], place: str) -> Iterator[DuckDBPyConnection]:
    """A DuckDB connection in UTC that sees the datasets by their tables' names and nothing else of the machine.

    None is an empty table; `load_window_sums` is there whenever `load_windows` is. Raises StoreError that begins with
    `place`.
    """
    connection = duckdb.connect()
    try:
        connection.execute("set autoinstall_known_extensions = false; set TimeZone = 'UTC'")
        for name, dataset in datasets.items():
            _register(connection, name, dataset)
        if "load_windows" in datasets:
            connection.execute(_load_window_sums_view())
        # a name in a query must never mean a Python variable, a file or an address
        connection.execute("set python_enable_replacements = false; set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection
    except duckdb.Error as error:
        raise StoreError(_first_line(error), where=place, hint="see `serverload doctor`") from error
    finally:
        connection.close()


def _require_home(home: str, *, missing: Sequence[str]) -> None:
    if all(open_table(home, name) is None for name in TABLES if name not in missing):
        raise InputError(f"no tables in {home}", hint="run `serverload backfill PATH` first")


def run_sql(home: str, query: str) -> pa.Table:
    """The rows of one SELECT over all tables and `load_window_sums`; times in UTC. Raises InputError."""
    with tables_in_sql(home) as connection:
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1:
                raise InputError(f"expected one SQL statement, got {len(statements)}", where="sql")
            if statements[0].type != duckdb.StatementType.SELECT:
                kind = str(statements[0].type).rpartition(".")[2]
                raise InputError(f"only SELECT is allowed, got {kind}", where="sql", hint="tables are read-only here")
            return connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise InputError(_first_line(error), where="sql") from error


def _first_line(error: duckdb.Error) -> str:
    return str(error).strip().partition("\n")[0]


def forecasts(
    home: str, *, server: str | None = None, at: datetime | None = None, as_of: datetime | None = None
) -> pa.Table:
    """The newest forecast of each server and target hour, sorted by both.

    Newest: of the newest issued hour, of these the newest revision. Without `at` the coming hours only, those after
    the newest issued hour of the fleet; with `at` the target hour that it lies in. `as_of`: what had been written by
    then. Raises InputError where there are no forecasts yet, or none of that server at any time.
    """
    table = open_table(home, "forecasts")
    if table is None:
        _require_home(home, missing=("forecasts",))
    with sql_over({"forecasts": table}, f"{home}/tables") as connection:
        newest = newest_issued_hour(connection, table)
        if newest is None:
            raise InputError(f"no forecasts yet in {home}", hint="run `serverload train` and `serverload stream`")
        comparison = ">" if at is None else "="
        if at is not None:
            hour: datetime | None = hour_start(hour_number(_utc(at)))
        else:
            hour = newest if as_of is None else newest_issued_hour(connection, table, as_of)
        # the day is the partition: without it every file is read
        conditions = [f"target_date {comparison.replace('>', '>=')} $day", f"target_hour {comparison} $hour"]
        values: dict[str, object] = {"day": hour.date() if hour else None, "hour": hour}
        if server is not None:
            conditions.append("server_ip = $server")
            values["server"] = server
        if as_of is not None:
            conditions.append("issued_at <= $as_of")
            values["as_of"] = _utc(as_of)
        query = _NEWEST_FORECASTS.format(" and ".join(conditions))
        rows = connection.sql(query, params=values).to_arrow_table()
        if server is not None and not rows.num_rows:
            _require_forecasts_of(connection, home, server)
        return rows


_NEWEST_FORECASTS = """
    select * from forecasts where {}
    qualify row_number() over (partition by server_ip, target_hour order by issued_hour desc, revision desc) = 1
    order by server_ip, target_hour
"""


def newest_issued_hour(
    connection: DuckDBPyConnection, table: pads.Dataset | None, as_of: datetime | None = None
) -> datetime | None:
    """The newest issued hour in `forecasts`, or what it was at a time; None without forecasts.

    `table` is what the connection sees as `forecasts`.
    """
    condition = "target_date >= $value" if as_of is None else "issued_at <= $value"
    value = _first_day_that_matters(table) if as_of is None else _utc(as_of)
    query = f"select max(issued_hour) from forecasts where {condition}"
    rows: list[tuple[datetime | None]] = connection.sql(query, params={"value": value}).fetchall()
    return rows[0][0]


def _first_day_that_matters(table: pads.Dataset | None) -> date | None:
    """The first day that may hold forecasts of the newest issued hour, told by the log without opening a file."""
    fragments = [] if table is None else table.get_fragments()
    days = [pads.get_partition_keys(fragment.partition_expression)["target_date"] for fragment in fragments]
    return max(days) - LONGEST_HORIZON - timedelta(days=1) if days else None


def _require_forecasts_of(connection: DuckDBPyConnection, home: str, server: str) -> None:
    known = connection.sql("select distinct server_ip from forecasts order by 1").fetchall()
    if (server,) in known:
        return
    servers = open_table(home, "servers")
    seen = servers is not None and servers.count_rows(filter=pads.field("server_ip") == server) > 0
    what = "it is in table servers, but has had no forecast yet" if seen else "it is not in table servers"
    known_ones = f"{len(known)} servers have forecasts, such as {', '.join(name for (name,) in known[:3])}"
    raise InputError(f"no forecasts for server {server}", hint=f"{what}; {known_ones}")


def _register(connection: DuckDBPyConnection, name: str, dataset: pads.Dataset | None) -> None:
    if dataset is not None:
        connection.register(name, dataset)
        return
    ddl = TABLES[name].ddl
    for spark, own in _DUCKDB_SPELLING.items():
        ddl = ddl.replace(spark, own)
    connection.execute(f"create temp table {name} ({ddl})")


def _load_window_sums_view() -> str:
    """Partial sums added as the Spark step does it: as whole millionths, held at the limit."""
    limit = MICROS_LIMIT // MICROS
    measures = ",\n".join(
        f"greatest(least(sum(cast(round(greatest(least({name}, {limit}), -{limit}) * {MICROS}) as hugeint)),"
        f" {MICROS_LIMIT}::hugeint), -{MICROS_LIMIT}::hugeint)::double / {MICROS} as {name}"
        for name in MEASURES
    )
    typed = "filter (where server_type is not null)"
    return f"""
        create temp view {LOAD_WINDOW_SUMS} as
        select server_ip, window_start, sum(sessions)::bigint as sessions, {measures}, max(last_event) as last_event,
            arg_max(server_type, row(server_type_at, server_type)) {typed} as server_type,
            max(server_type_at) {typed} as server_type_at, month
        from load_windows group by server_ip, window_start, month
    """


def write_rows(table: pa.Table, format: Literal["table", "csv", "json"], out: TextIO) -> None:
    """Write rows as aligned text, as CSV with a header, or as a JSON list of objects; times as ISO UTC (`...Z`)."""
    rows = zip(*(_plain_column(column) for column in table.columns), strict=True)
    if format == "json":
        given = table.column_names
        names = [f"{name}_{given[:i].count(name)}" if name in given[:i] else name for i, name in enumerate(given)]
        out.write(json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False) + "\n")
    elif format == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows([_text(entry) for entry in row] for row in rows)
    else:
        _write_aligned(table.schema, rows, out)


def _write_aligned(schema: pa.Schema, rows: Iterator[tuple[object, ...]], out: TextIO) -> None:
    text_table = TextTable(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for field in schema:
        is_number = any(is_a(field.type) for is_a in _NUMBERS)
        # Text, not str: a refused line may hold what rich reads as markup
        text_table.add_column(Text(field.name), justify="right" if is_number else "left", no_wrap=not out.isatty())
    for row in rows:
        text_table.add_row(*(Text(_text(entry, digits=6)) for entry in row))
    Console(file=out, width=None if out.isatty() else _WIDE_ENOUGH, highlight=False).print(text_table)


def _text(entry: object, digits: int | None = None) -> str:
    if entry is None:
        return ""
    if isinstance(entry, float) and digits is not None and abs(entry) < 10**15:
        return f"{round(entry, digits):.15g}"
    if isinstance(entry, bool | dict | list):
        return json.dumps(entry, ensure_ascii=False)
    return str(entry)


def _plain_column(column: pa.ChunkedArray) -> list[object]:
    is_map = pa.types.is_map(column.type)
    return [_plain(dict(entry) if is_map and entry is not None else entry) for entry in column.to_pylist()]


def _plain(entry: object) -> object:
    """What JSON can hold: times as ISO UTC, NaN and infinity as null."""
    if isinstance(entry, datetime):
        return _utc(entry).isoformat().replace("+00:00", "Z")
    if isinstance(entry, Decimal):
        return int(entry) if entry == entry.to_integral_value() else float(entry)
    if isinstance(entry, float):
        return entry if isfinite(entry) else None
    if isinstance(entry, dict):
        return {str(key): _plain(held) for key, held in entry.items()}
    if isinstance(entry, list):
        return [_plain(held) for held in entry]
    return entry if entry is None or isinstance(entry, str | int) else str(entry)


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
