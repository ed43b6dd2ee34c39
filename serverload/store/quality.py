"""How good the forecasts of the last days were: counted by DuckDB from what has matured, shadows beside."""

from datetime import date, timedelta

import pyarrow as pa
from duckdb import DuckDBPyConnection

from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import InputError
from serverload.store.table_reader import tables_in_sql

VIEWS = {
    "horizon": """case when horizon_hours <= 6 then '1-6' when horizon_hours <= 24 then '7-24'
        when horizon_hours <= 48 then '25-48' else '49-168' end""",
    "group": "server_group",
    "day": "strftime(target_date, '%Y-%m-%d')",
    "class": "actual_class",
    "model": "model_version",
}
"""By what outcomes may be grouped: a range of horizons (h), server type, target day, class that came, model version."""

_ORDER = {"horizon": "horizon_hours", "day": "target_date", "model": "try_cast(model_version as int)"}

SCORED = """
    with newest as (
        select * from forecast_outcomes where target_date > $since
        qualify row_number() over (
            partition by server_ip, issued_hour, horizon_hours order by revision desc, outcome_revision desc
        ) = 1
    ),
    came as (select * from newest where actual_class is not null and workload_class is not null),
    first_issued as (
        select * from forecast_outcomes where target_date > $since and revision = 0
        qualify row_number() over (
            partition by server_ip, issued_hour, horizon_hours order by outcome_revision desc
        ) = 1
    ),
    shadow as (
        select s.* exclude (revision), o.actual_class, o.rps as issued_rps,
            case o.actual_class when 'low' then s.probability_low when 'medium' then s.probability_medium
                else s.probability_high end as probability_of_actual
        from shadow_forecasts s join first_issued o using (server_ip, issued_hour, horizon_hours)
        where s.target_date > $since and s.workload_class is not null and s.model_version <> o.model_version
            and o.actual_class is not null and o.workload_class is not null
    ),
    scored as (
        select 'issued' as role, server_ip, target_hour, target_date, horizon_hours, model_version, workload_class,
            actual_class, probability_of_actual, rps, covered, null::double as issued_rps
        from came
        union all
        select 'shadow', server_ip, target_hour, target_date, horizon_hours, model_version, workload_class,
            actual_class, probability_of_actual,
            ((probability_low - (actual_class = 'low')::int) ** 2
                + (probability_low + probability_medium - (actual_class <> 'high')::int) ** 2) / 2,
            list_contains(string_split(prediction_set, ','), actual_class), issued_rps
        from shadow
    ),
    grouped as (
        select scored.*, coalesce(servers.server_type::varchar, '') as server_group
        from scored left join servers using (server_ip)
    )
"""
"""Common table expressions, `$since` bound: `grouped` has the matured forecasts, what came and the server's group."""

_SCORES = """
    select {by} as "{name}", {role} count(*) as matured, count(distinct target_hour) as hours,
        avg((workload_class = actual_class)::int) as accuracy, {f1}
        {recalls}, avg(rps) as rps, avg(-ln(greatest(probability_of_actual, 1e-15))) as log_loss,
        avg(covered::int) as covered {issued}
    from grouped {where}
    group by all order by {order}
"""


def quality(home: str, *, days: int, by: str) -> pa.Table:
    """Scores of the forecasts that matured for the newest `days` target days, a row per group of a view.

    Of each forecast the newest revision and outcome count. `rps` and `log_loss`: the lower the better; `covered`: share
    of prediction sets that held what came, null without sets. By model, versions in shadow have rows of their own, of
    which `rps` and `issued_rps` compare: both of the same hours, as first issued. Raises InputError without a home or
    outcomes.
    """
    with tables_in_sql(home, "forecast_outcomes", "shadow_forecasts", "servers") as connection:
        scores = quality_in_sql(connection, days=days, by=by)
    if scores is None:
        raise InputError(f"no forecast has matured yet in {home}", hint="outcomes follow as hours close")
    return scores


def quality_in_sql(connection: DuckDBPyConnection, *, days: int, by: str) -> pa.Table | None:
    """The same from a connection that sees the three tables; None before anything has matured."""
    since = day_before(connection, days)
    return None if since is None else connection.sql(_query(by), params={"since": since}).to_arrow_table()


def day_before(connection: DuckDBPyConnection, days: int) -> date | None:
    """The day before the newest `days` target days; None before anything has matured."""
    newest: list[tuple[date | None]] = connection.sql("select max(target_date) from forecast_outcomes").fetchall()
    return None if newest[0][0] is None else newest[0][0] - timedelta(days=days)


def view_name(by: str) -> str:
    """The column that a view's groups stand in."""
    return "horizons" if by == "horizon" else by


def order_of(by: str) -> str:
    """What the groups of a view are sorted by."""
    return f"min({_ORDER.get(by, '0')}), 1"


def _query(by: str) -> str:
    f1, recalls = [], []
    for name in CLASSES:
        hits = f"count_if(workload_class = '{name}' and actual_class = '{name}')"
        seen = f"(count_if(workload_class = '{name}') + count_if(actual_class = '{name}'))"
        f1.append(f"2.0 * {hits} / nullif({seen}, 0)")
        recalls.append(f"{hits} / nullif(count_if(actual_class = '{name}'), 0) as recall_{name}")
    with_shadows = by == "model"
    return SCORED + _SCORES.format(
        by=VIEWS[by],
        name=view_name(by),
        role="role," if with_shadows else "",
        issued=", avg(issued_rps) as issued_rps" if with_shadows else "",
        where="" if with_shadows else "where role = 'issued'",
        f1="" if by == "class" else f"list_avg([{', '.join(f1)}]) as macro_f1,",
        recalls=", ".join(recalls),
        order=order_of(by),
    )
