"""What a user would pick instead, on the same files: DuckDB with the same checks, and the bare sums by several readers.

Bare sums look at nothing: they would take a header for a server, and stop at a line that they cannot read, unless told
to leave it out. All use as many threads as there are cores.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from serverload.contracts.lines import FIELDS_16, MEASURES, SUMMED_FIELDS

SUMMED = {"total_load": "TotalLoad", **SUMMED_FIELDS}
NUMBERS = (*SUMMED.values(), "ServerType")
_CHUNK = 1 << 20
_COLUMNS = [f"c{place}" for place in range(1, 18)]
_OF_16 = {name: f"c{place}" for place, name in enumerate(FIELDS_16, 1)}
_OF_17 = {**{name: f"c{place}" for place, name in enumerate(FIELDS_16[:14], 2)}, "ServerIP": "c16"}

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} ([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?$"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^{_OCTET}(\.{_OCTET}){{3}}$"


def read_bytes(files: Sequence[Path]) -> int:
    """The floor: every byte once."""
    size = 0
    for path in files:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
    return size


def polars_bare(files: Sequence[Path], out: Path, fields: Sequence[str] = FIELDS_16) -> None:
    """Window sums by Polars' streaming engine; what is no number or time is null, and adds nothing."""
    schema = dict.fromkeys(fields, pl.String)
    lines = pl.scan_csv(list(files), has_header=False, schema=schema, truncate_ragged_lines=True, ignore_errors=True,
                        quote_char=None, encoding="utf8-lossy")  # fmt: skip
    window = pl.col("SessionStart").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False).dt.truncate("5m")
    sums = [pl.col(field).cast(pl.Float64, strict=False).sum().alias(name) for name, field in SUMMED.items()]
    grouped = lines.group_by("ServerIP", window.alias("window_start")).agg(pl.len().alias("sessions"), *sums)
    grouped.sink_parquet(out, engine="streaming")


def duckdb_bare(files: Sequence[Path], out: Path, fields: Sequence[str] = FIELDS_16) -> None:
    """Window sums with the reader's own types; lines that it cannot read are left out and not counted."""
    types = {name: "DOUBLE" if name in SUMMED.values() else "VARCHAR" for name in fields} | {
        "SessionStart": "TIMESTAMP"
    }
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    sums = ", ".join(f"sum({field}) as {name}" for name, field in SUMMED.items())
    with duckdb.connect() as connection:
        connection.execute(f"""
            copy (
                select ServerIP, time_bucket(interval 5 minutes, SessionStart) as start, count(*) as sessions, {sums}
                from read_csv({_list(files)}, columns = {{{columns}}}, header = false, delim = ',', quote = '',
                    escape = '', auto_detect = false, ignore_errors = true)
                group by all
            ) to '{out}' (format parquet)
        """)  # fmt: skip


def duckdb_checked(files: Sequence[Path], out: Path) -> Counter[str]:
    """The same checks, sums in whole millionths, refused lines kept; lines by fate (accepted, or why not).

    Good for the lines that `generate` makes: CSV in UTC, IPv4, no byte-order mark.
    """
    with duckdb.connect() as connection:
        connection.execute(_JUDGED.replace("FILES", _list(files)))
        connection.execute(f"copy ({_SUMS}) to '{out}' (format parquet)")
        connection.execute(f"copy (select * from judged where fate <> 'accepted') to '{out}.rejects' (format parquet)")
        counts = Counter[str](dict(connection.sql("select fate, count(*) from judged group by 1").fetchall()))
        refused = (
            "select error_type, count(distinct (file_id, line)) from reject_errors group by 1"  # by the reader itself
        )
        for kind, count in connection.sql(refused).fetchall():
            counts["encoding" if kind == "INVALID ENCODING" else "columns"] += count
        return counts


def _list(files: Sequence[Path]) -> str:
    return "[" + ", ".join(f"'{path}'" for path in files) + "]"


def _field(name: str) -> str:
    return f"trim(case when c17 is null then {_OF_16[name]} else {_OF_17[name]} end)"


def _number(name: str) -> str:
    text = f'"{name}"'
    number = f"try_cast({text} as double)"
    good = f"regexp_matches({text}, '{_NUMBER}') and abs({number}) <= 1e9"
    return f"case when {good} then round_even({number} * 1e6, 0)::bigint end"


_MEASURES = [_number(field) for field in SUMMED.values()]
_EVERY_FIELD = " + ".join(f"coalesce(strlen({name}), 0)" for name in _COLUMNS)
"""Only fields that are looked at are found to be no UTF-8."""
_JUDGED = f"""
    create temp table judged as
    with fields as (
        select {", ".join(f'{_field(name)} as "{name}"' for name in ("SessionStart", "ServerIP", *NUMBERS))},
            c16 is null or starts_with(c1, '{{') as short
        from read_csv(FILES, columns = {{{", ".join(f"'{name}': 'VARCHAR'" for name in _COLUMNS)}}}, header = false,
            delim = ',', quote = '', escape = '', nullstr = '\\N', auto_detect = false, null_padding = true,
            ignore_errors = true, store_rejects = true)
        where not (c2 is null and trim(c1, ' \t\r') = '') and {_EVERY_FIELD} > 0
    ), typed as (
        select *, case when regexp_matches("SessionStart", '{_TIME}')
                then try_cast("SessionStart" as timestamp) end as event,
            {", ".join(f"{sql} as {name}" for sql, name in zip(_MEASURES, MEASURES, strict=True))},
            {_number("ServerType")} as server_type
        from fields
    )
    select event, "ServerIP" as server_ip, {", ".join(MEASURES)}, server_type, case
        when short then 'columns'
        when "SessionStart" <> '' and not regexp_matches("SessionStart", '[0-9]') then 'header'
        when event is null then 'session_start'
        when not regexp_matches("ServerIP", '{_IPV4}') then 'server_ip'
        when total_load is null or total_load < 0 then 'total_load'
        when event > now()::timestamp + interval 1 hour then 'ahead'
        else 'accepted' end as fate,
        case when fate <> 'accepted' then concat_ws(',', "SessionStart", "ServerIP", "TotalLoad") end as told
    from typed
"""
_SUMS = f"""
    select server_ip, time_bucket(interval 5 minutes, event) as window_start, count(*) as sessions,
        {", ".join(f"sum(coalesce({name}, 0))::bigint as {name}" for name in MEASURES)},
        max(event) as last_event, arg_max(server_type, event) as server_type
    from judged where fate = 'accepted' group by all
"""
