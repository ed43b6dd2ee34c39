"""How the tables stand: what has come in, how far time has come, how good the forecasts were."""

from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from serverload.contracts.classes import CLASSES, MICROS
from serverload.contracts.instants import hour_start
from serverload.contracts.lines import REJECT_REASONS
from serverload.contracts.tables import TROUBLE_EVENTS
from serverload.steps.watermark import newest_closed_hour, watermark
from serverload.store.table_reader import newest_issued_hour, open_table, tables_in_sql

SOURCES = ("history", "live")
COUNTS = ("read", "accepted", "rejected", "skipped")

_NEWEST_OUTCOMES = """
    select * from (
        select * from forecast_outcomes
        qualify row_number() over (
            partition by server_ip, issued_hour, horizon_hours order by revision desc, outcome_revision desc
        ) = 1
    ) where actual_class is not null
"""


def status(home: str, *, allowed_lateness_minutes: int, now: datetime) -> dict[str, object]:
    """Facts about a home, in the order to show them; None or 0 where a table is not made yet.

    Times are aware UTC, ages are seconds before `now`, the share lies between 0 and 1.
    """
    names = ("servers", "ingest_log", "stream_log", "forecasts", "forecast_outcomes")
    with tables_in_sql(home, *names, home_required=False) as connection:
        windows = open_table(home, "load_windows")
        return {
            **time_facts(connection, allowed_lateness_minutes),
            "load_windows_rows": 0 if windows is None else windows.count_rows(),
            **ingest_facts(connection, now),
            **stream_facts(connection),
            **_forecast_facts(connection, home, now),
            **_outcome_facts(connection),
        }


def time_facts(connection: duckdb.DuckDBPyConnection, allowed_lateness_minutes: int) -> dict[str, object]:
    """How far event time has come over how many servers."""
    last_events = [event for (event,) in connection.sql("select last_event from servers").fetchall()]
    reached = watermark([event for event in last_events if event is not None], allowed_lateness_minutes)
    closed = newest_closed_hour(reached)
    return {
        "watermark": reached,
        "newest_closed_hour": None if closed is None else hour_start(closed),
        "servers": len(last_events),
    }


def ingest_facts(connection: duckdb.DuckDBPyConnection, now: datetime) -> dict[str, object]:
    """Lines by source, rejects by reason, and when live data was last written."""
    sums = ", ".join(f"coalesce(sum({count}), 0)::bigint" for count in COUNTS)
    facts: dict[str, object] = {}
    for source in SOURCES:
        row = _row(connection, f"select {sums} from ingest_log where source = $source", source=source)
        facts |= {f"{source}_lines_{count}": lines for count, lines in zip(COUNTS, row, strict=True)}
    counted = connection.sql("""
        select reason.key, sum(reason.value)::bigint
        from (select unnest(map_entries(rejected_by_reason)) as reason from ingest_log) group by 1 order by 1
    """).fetchall()
    by_reason = dict.fromkeys(REJECT_REASONS, 0) | dict(counted)
    facts |= {f"rejected_{reason}": lines for reason, lines in by_reason.items()}
    (committed_at,) = _row(connection, "select max(committed_at) from ingest_log where source = 'live'")
    return facts | {"last_live_batch_at": committed_at, "last_live_batch_age_seconds": _age(committed_at, now)}


def stream_facts(connection: duckdb.DuckDBPyConnection) -> dict[str, object]:
    """What is wrong with the stream, as its log has it: None where all is well."""
    (lost,) = _row(connection, "select coalesce(sum(lost_offsets), 0)::bigint from ingest_log")
    newest = """
        select split_part(event, '_', 1) as about, event, strftime(event_at, '%Y-%m-%d %H:%M:%SZ') || ' ' || detail
        from stream_log where event <> 'offsets_lost'
        qualify row_number() over (partition by about order by event_at desc) = 1
    """
    told = {about: detail for about, event, detail in connection.sql(newest).fetchall() if event in TROUBLE_EVENTS}
    return {"lost_offsets": lost} | {
        f"{about}_trouble": told.get(about) for about in (event.partition("_")[0] for event in TROUBLE_EVENTS)
    }


def _forecast_facts(connection: duckdb.DuckDBPyConnection, home: str, now: datetime) -> dict[str, object]:
    hour = newest_issued_hour(connection, open_table(home, "forecasts"))
    issued_at, versions = _row(
        connection,
        """
        select max(issued_at), array_to_string(list_sort(list(distinct model_name || ' ' || model_version)), ', ')
        from forecasts where target_date >= $day and issued_hour = $hour
        """,
        hour=hour,
        day=None if hour is None else hour.date(),
    )
    return {
        "newest_issued_hour": hour,
        "newest_issued_at": issued_at,
        "newest_issued_age_seconds": _age(issued_at, now),
        "model_versions": versions,
    }


def newest_issue(home: str) -> datetime | None:
    """When forecasts were issued last, revisions included; None before the first."""
    with tables_in_sql(home, "forecasts", home_required=False) as connection:
        hour = newest_issued_hour(connection, open_table(home, "forecasts"))
        query = "select max(issued_at) from forecasts where target_date >= $day and issued_hour = $hour"
        (issued_at,) = _row(connection, query, hour=hour, day=None if hour is None else hour.date())
        return None if issued_at is None else issued_at.astimezone(UTC)


def _outcome_facts(connection: duckdb.DuckDBPyConnection) -> dict[str, object]:
    matured, share = _row(connection, f"select count(*), avg(correct::int) from ({_NEWEST_OUTCOMES})")
    return {"matured_forecasts": matured, "correct_share": share}


def _row(connection: duckdb.DuckDBPyConnection, query: str, **values: object) -> tuple[Any, ...]:
    """The one row of an aggregate without groups."""
    rows: list[tuple[Any, ...]] = connection.sql(query, params=values).fetchall()
    return rows[0]


def _age(time: datetime | None, now: datetime) -> float | None:
    return None if time is None else (now - time).total_seconds()


def outcome_summary(home: str, *, low_max: float, medium_max: float) -> pa.Table:
    """How often forecasts were right, per group of horizons and over all, beside two naive forecasts of the same rows.

    Columns: horizons, matured, accuracy, log_loss (natural, of probability_of_actual from 1e-15 on),
    persistence_accuracy (the class of the issued hour), last_week_accuracy (of the target hour less 168 h); an hour
    without sessions is idle, load 0. A group without matured forecasts has no row. Raises InputError without a home.
    """
    naive = {"persistence": "issued.peak_load", "last_week": "week_before.peak_load"}
    accuracies = ", ".join(
        f"avg(({class_of(load, low_max, medium_max)} = actual_class)::int) as {name}_accuracy"
        for name, load in naive.items()
    )
    with tables_in_sql(home, "forecast_outcomes", "hourly_load") as connection:
        query = _OUTCOME_SUMMARY.format(outcomes=_NEWEST_OUTCOMES, accuracies=accuracies)
        return connection.sql(query).to_arrow_table()


_OUTCOME_SUMMARY = """
    with outcomes as ({outcomes}),
    hours as (select server_ip, hour, peak_load from hourly_load),
    grouped as (
        select *, case when horizon_hours <= 6 then 1 when horizon_hours <= 24 then 2
            when horizon_hours <= 48 then 3 else 4 end as horizon_group
        from outcomes
    )
    select
        case when grouping(horizon_group) = 1 then 'all'
            else ['1-6', '7-24', '25-48', '49-168'][horizon_group] end as horizons,
        count(*) as matured, avg(correct::int) as accuracy,
        avg(-ln(greatest(probability_of_actual, 1e-15))) as log_loss, {accuracies}
    from grouped
    left join hours issued on issued.server_ip = grouped.server_ip and issued.hour = grouped.issued_hour
    left join hours week_before on week_before.server_ip = grouped.server_ip
        and week_before.hour = grouped.target_hour - interval 168 hours
    group by grouping sets ((horizon_group), ())
    having count(*) > 0
    order by grouping(horizon_group), horizon_group
"""


def class_of(load: str, low_max: float, medium_max: float) -> str:
    """SQL for the class of a load, told by micros rounded half even, as the labels are."""
    low, medium, high = CLASSES
    micros = f"round_even(coalesce({load}, 0) * {MICROS}, 0)"
    return f"""case when {micros} <= round_even({low_max!r} * {MICROS}::double, 0) then '{low}'
        when {micros} <= round_even({medium_max!r} * {MICROS}::double, 0) then '{medium}' else '{high}' end"""


def reject_summary(home: str) -> pa.Table:
    """Refused lines per reason, most first, with the first 80 characters of one of them. Raises InputError."""
    with tables_in_sql(home, "rejects") as connection:
        return connection.sql("""
            select reason, count(*) as lines, min(left(line, 80)) as example
            from rejects group by reason order by lines desc, reason
        """).to_arrow_table()
