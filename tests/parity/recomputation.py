"""The design's rules for lines, written a second time: DuckDB SQL over raw bytes, nothing of serverload in it."""

import gzip
import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from duckdb import DuckDBPyConnection

READ = (
    "SessionStart", "ServerIP", "TotalLoad", "MbytesTransferred", "SubService_1_Load", "SubService_2_Load",
    "SubService_3_Load", "SubService_4_Load", "SubService_5_Load", "SecureBytes_Load", "ServerType",
)  # fmt: skip
PLACES_OF_16 = (1, 16, 14, 4, 8, 9, 10, 11, 12, 13, 7)
PLACES_OF_17 = (2, 16, 15, 5, 9, 10, 11, 12, 13, 14, 8)
MEASURES = (
    "total_load", "mbytes_transferred", "sub_service_1_load", "sub_service_2_load", "sub_service_3_load",
    "sub_service_4_load", "sub_service_5_load", "secure_bytes_load",
)  # fmt: skip

MACROS = r"""
create macro trimmed(text) as trim(text, chr(32) || chr(9) || chr(10) || chr(11) || chr(12) || chr(13));
create macro number_of(text) as case
    when regexp_full_match(text, '[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?')
        and abs(try_cast(text as double)) <= 1e9 then try_cast(text as double) end;
create macro micros(number) as round_even(number * 1e6, 0)::bigint;
create macro time_parts(text) as regexp_extract(text,
    '\A([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?'
    || '(?: ?(?:Z|([+-])([0-9]{2}):?([0-9]{2})))?\z',
    ['day', 'hour', 'minute', 'second', 'fraction', 'sign', 'zone_hours', 'zone_minutes']);
create macro whole(digits) as coalesce(try_cast(digits as bigint), 0);
create macro time_of(part) as case
    when try_cast(part.day as date) is not null and whole(part.hour) <= 23 and whole(part.minute) <= 59
        and whole(part.second) <= 59 and whole(part.zone_minutes) <= 59
        and whole(part.zone_hours) * 60 + whole(part.zone_minutes) <= 18 * 60
    then ((try_cast(part.day as date) - date '1970-01-01') * 86400 + whole(part.hour) * 3600 + whole(part.minute) * 60
        + whole(part.second)
        - (if(part.sign = '-', -1, 1) * (whole(part.zone_hours) * 60 + whole(part.zone_minutes))) * 60) * 1000000
        + whole(rpad(part.fraction[:6], 6, '0')) end;
create macro in_range(micros) as
    if(micros >= 0 and micros < (date '2101-01-01' - date '1970-01-01') * 86400000000, micros, null);
"""

EVENTS = f"""
create table texts as
with bodies as (
    select * exclude (line), regexp_replace(try(decode(line)), '\\A\\x{{FEFF}}|\\r\\z', '', 'g') as body from lines
), cut as (
    select *, string_split(body, ',') as parts from bodies where body is null or trimmed(body) <> ''
), chosen as (
    select * exclude (parts), case
        when starts_with(body, '{{') then json_texts(body)
        when len(parts) = 16 then [parts[place] for place in {list(PLACES_OF_16)}]
        when len(parts) = 17 then [parts[place] for place in {list(PLACES_OF_17)}] end as texts from cut
)
select * replace ([trimmed(coalesce(text, '')) for text in texts] as texts) from chosen;

create table judged as
with read as (
    select *, in_range(time_of(time_parts(texts[1]))) as event, texts[2] as server_ip,
        [micros(number_of(text)) for text in texts[3:10]] as measures, number_of(texts[11]) as type from texts
)
select *, case
    when body is null then 'encoding'
    when texts is null then 'columns'
    when not list_contains(coalesce(only_servers, [server_ip]), server_ip) then 'skipped'
    when event >= cutover then 'skipped'
    when texts[1] <> '' and not regexp_matches(texts[1], '[0-9]') then 'header'
    when event is null then 'session_start'
    when not is_address(server_ip) then 'server_ip'
    when coalesce(measures[1], -1) < 0 then 'total_load'
    when event < earliest or event >= latest then 'outside'
    when event > batch_time + 3600000000 then 'ahead'
    else 'accepted' end as fate
from read, rules;
"""

TABLES = f"""
create table expected_windows as
with events as (select *, event // 300000000 * 300000000 as window_start from judged where fate = 'accepted'),
sums as (
    select server_ip, window_start, count(*) as sessions,
        {", ".join(f"sum(coalesce(measures[{i + 1}], 0))::bigint as {name}" for i, name in enumerate(MEASURES))},
        max(event) as last_event,
        max({{'event': event, 'type': type::bigint}}) filter (where type = trunc(type)) as newest
    from events group by all
)
select * exclude (newest), newest.type as server_type, newest.event as server_type_at from sums;

create table expected_hours as
with hours as (select *, window_start // 3600000000 * 3600000000 as hour from expected_windows)
select server_ip, hour, sum(sessions) over in_hour::bigint as sessions, window_start as peak_window_start,
    {", ".join(MEASURES)}
from hours window in_hour as (partition by server_ip, hour)
qualify row_number() over (in_hour order by total_load desc, window_start) = 1;

create table expected_servers as
select server_ip, min(window_start // 3600000000 * 3600000000) as first_hour, max(last_event) as last_event,
    max({{'event': server_type_at, 'type': server_type}}) filter (where server_type is not null).type as server_type
from expected_windows group by all;

create table expected_log as
select batch_id, count(*) as read, count_if(fate = 'accepted') as accepted, count_if(fate = 'skipped') as skipped,
    min(event) filter (where fate = 'accepted') as first_event,
    max(event) filter (where fate = 'accepted') as last_event
from judged group by all;

create table expected_reasons as
select batch_id, fate as reason, count(*) as lines from judged where fate not in ('accepted', 'skipped') group by all;

create table expected_repairs as
with fields as (
    select batch_id, unnest({list(READ[3:])}) as field,
        unnest(list_append([measure is null for measure in measures[2:]], type is null)) as repaired
    from judged where fate = 'accepted'
)
select batch_id, field, count(*) as lines from fields where repaired group by all;

create table expected_rejects as
select uri || ':' || start as origin, batch_id, batch_time, fate as reason from judged
where fate not in ('accepted', 'skipped');
"""


def recompute(connection: DuckDBPyConnection, lines: pa.Table, rules: dict[str, object]) -> None:
    """Make the `expected_*` tables from `raw_lines` with `batch_id` and `batch_time`; times are micros since 1970."""
    names = ("earliest", "latest", "cutover")
    connection.register("lines", lines)
    connection.execute("set timezone = 'UTC'")
    connection.create_function("is_address", is_address, ["VARCHAR"], "BOOLEAN")
    connection.create_function("json_texts", json_texts, ["VARCHAR"], "VARCHAR[]", null_handling="special")
    connection.execute(MACROS)
    connection.execute(
        "create table rules as select ?::varchar[] as only_servers, ?::bigint as earliest, ?::bigint as latest,"
        " ?::bigint as cutover",
        [rules.get("only_servers"), *(rules.get(name) for name in names)],
    )
    connection.execute(EVENTS)
    for name in ("is_address", "json_texts"):  # a Python function left behind is told as a leak when Python ends
        connection.remove_function(name)
    connection.execute(TABLES)


def raw_lines(files: Iterable[Path]) -> pa.Table:
    """Every line of the files as bytes, with the file's address and the offset of the line's first byte."""
    rows = []
    for file in files:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        start = 0
        for line in content.split(b"\n"):
            rows.append({"uri": f"file://{file}", "start": start, "line": line})
            start += len(line) + 1
    return pa.Table.from_pylist(rows, pa.schema([("uri", pa.string()), ("start", pa.int64()), ("line", pa.binary())]))


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address without a zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def json_texts(line: str) -> list[str | None] | None:
    """The texts of READ in a line that is one JSON object; None if it is none."""
    try:
        found = json.loads(line, parse_int=str, parse_float=str, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    texts = (found.get(name) for name in READ)
    return [text.encode("utf-8", "replace").decode() if isinstance(text, str) else None for text in texts]


def _refused(constant: str) -> None:
    raise ValueError(constant)
