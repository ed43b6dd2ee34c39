"""Reading a home, without Spark or Java.

Everywhere: `home` is a folder or address, None for that of the settings (SERVERLOAD_HOME); `config` a profile or a TOML
file. Times are aware, or UTC.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from duckdb import DuckDBPyConnection

from serverload.api.rows import Rows
from serverload.contracts.errors import InputError
from serverload.contracts.homes import DEFAULT_PROFILE
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.settings import Settings, load_settings
from serverload.steps.features import feature_rows, lookback_hours, training_pairs
from serverload.steps.labels import workload_class
from serverload.steps.watermark import newest_closed_hour, watermark
from serverload.store import table_reader
from serverload.store.server_features import hours_in_sql
from serverload.store.storage_options import use_storage

_HISTORY = """
    select * exclude (month) from hourly_load
    where month between $first_month and $last_month and hour between $first and $last {}
    order by server_ip, hour
"""
_ENDS = "select min(hour), max(hour) from hourly_load"


def load_forecasts(
    home: str | Path | None = None,
    *,
    server: str | None = None,
    at: datetime | None = None,
    as_of: datetime | None = None,
    config: str = DEFAULT_PROFILE,
) -> Rows:
    """The newest forecast of each server and coming hour, as `serverload forecasts` shows it.

    `server`: of one alone. `at`: for the hour that holds this time, instead of the coming ones. `as_of`: as believed
    then. Columns as table `forecasts`: probabilities 0 to 1, horizons in hours; sorted by server and target hour.
    Raises InputError where there are no forecasts, or none of that server; StoreError.
    """
    return Rows(table_reader.forecasts(_settings(home, config).home, server=server, at=at, as_of=as_of))


def read_history(
    home: str | Path | None = None,
    *,
    server: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    config: str = DEFAULT_PROFILE,
) -> Rows:
    """Hours with sessions from `start` on and before `end`: a row per server and hour, sorted by both.

    Columns as table `hourly_load` (loads in the unit of TotalLoad, each the sum of the hour's busiest five minutes). An
    hour without a row is idle, or missing where no server has one. Raises InputError without a home, StoreError.
    """
    with table_reader.tables_in_sql(_settings(home, config).home, "hourly_load") as tables:
        first, last = _hours(tables, start, end)
        given = _reach(first, last) | ({} if server is None else {"server": server})
        text = _HISTORY.format("" if server is None else "and server_ip = $server")
        return Rows(tables.sql(text, params=given).to_arrow_table())


def features(
    home: str | Path | None = None,
    *,
    server: str,
    start: datetime | None = None,
    end: datetime | None = None,
    horizons: Sequence[int] = (1, 24, 48),
    config: str = DEFAULT_PROFILE,
) -> Rows:
    """What a model knows of a server's hours, and what they became: a row per target hour and horizon (hours).

    Target hours from `start` on and before `end`, those alone that are closed and count, and whose origin is not before
    the server's first hour. Made from `hourly_load` by the one definition that training and the stream go by: columns
    `server_ip`, `target_hour`, the features, `label` (low, medium, high). Raises InputError for a server that is not
    known, or horizons below 1; StoreError.
    """
    if not horizons or min(horizons) < 1:
        raise InputError("expected hours of 1 or more", where="horizons")
    settings = _settings(home, config)
    retire = settings.time.retire_after_hours
    with table_reader.tables_in_sql(settings.home, "hourly_load", "servers") as tables:
        first, last = _hours(tables, start, end)
        last = min(last, _closed(tables, settings.time.allowed_lateness_minutes))
        reach = lookback_hours(max(horizons), retire)
        hours = hours_in_sql(tables, server, first=first - reach, last=last, retire_after_hours=retire)
    targets, ahead = training_pairs(hours, last, first, last, sorted(horizons))
    loads = hours.peaks[0][targets - hours.grid_start]
    rows = feature_rows(hours, targets, ahead).with_columns(
        workload_class(loads, **settings.classes.model_dump()).alias("label")
    )
    named = rows.select(pl.lit(server).alias("server_ip"), pl.all()).sort("target_hour", "horizon_hours")
    return Rows(named.to_arrow(compat_level=pl.CompatLevel.oldest()))


def _settings(home: str | Path | None, config: str) -> Settings:
    settings = load_settings(config, {"home": None if home is None else str(home)})
    use_storage(settings.storage)
    return settings


def _hours(tables: DuckDBPyConnection, start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The first and the last hour (numbers) that begin from `start` on and before `end`, of those that are known."""
    (ends,) = tables.sql(_ENDS).fetchall()
    oldest, newest = (0 if each is None else hour_number(each) for each in ends)
    first = oldest if start is None else max(oldest, -(-_seconds(start) // 3600))
    last = newest if end is None else min(newest, -(-_seconds(end) // 3600) - 1)
    return first, max(last, first - 1)


def _closed(tables: DuckDBPyConnection, allowed_lateness_minutes: int) -> int:
    """The newest closed hour; -1 without any."""
    last_events = [row[0] for row in tables.sql("select last_event from servers").fetchall()]
    closed = newest_closed_hour(watermark(last_events, allowed_lateness_minutes))
    return -1 if closed is None else closed


def _seconds(time: datetime) -> int:
    """Seconds since 1970, the next whole one."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(np.ceil(aware.timestamp()))


def _reach(first: int, last: int) -> dict[str, object]:
    start, end = hour_start(first), hour_start(last)
    return {"first": start, "last": end, "first_month": f"{start:%Y-%m}", "last_month": f"{end:%Y-%m}"}
