"""How past advice would have held, from the tables. No Spark."""

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
from duckdb import DuckDBPyConnection

from serverload.contracts.errors import InputError
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.plan_settings import PLAN_HOURS
from serverload.planning.advice import advised
from serverload.planning.held import all_knowing, held_rows, judged
from serverload.planning.outlook import HISTORY_HOURS
from serverload.store.plan import PlanRules, outlook_of
from serverload.store.plan_inputs import PLAN_TABLES, issued_forecasts, known_loads, server_types
from serverload.store.table_reader import newest_issued_hour, open_table, tables_in_sql

_ISSUED_HOURS = """
    select distinct issued_hour from forecasts
    where revision = 0 and target_date >= $day and issued_hour >= $first and issued_hour <= $last order by 1 desc
"""


def replayed_plans(
    home: str, rules: PlanRules, *, groups: Mapping[str, str] | None = None, days: int, step_hours: int
) -> pa.Table:
    """How advice would have held that was given at past issued hours, a row a kind; see `planning.held`.

    Every `step_hours`, back from the newest issued hour all of whose next hours have been issued too, over `days`;
    from the forecasts that were issued first, and the hours as the tables have them now. Raises InputError where no
    issued hour is old enough.
    """
    with tables_in_sql(home, *PLAN_TABLES) as connection:
        newest = newest_issued_hour(connection, open_table(home, "forecasts"))
        rows = replayed_in_sql(connection, rules, newest, groups=groups, days=days, step_hours=step_hours)
    if rows is None:
        what = f"no hour was issued {PLAN_HOURS} hours before the newest one, and so no advice can be judged yet"
        raise InputError(what, where=home, hint="`serverload stream` issues the hours as they close")
    return rows


def replayed_in_sql(
    connection: DuckDBPyConnection,
    rules: PlanRules,
    newest: datetime | None,
    *,
    groups: Mapping[str, str] | None = None,
    days: int,
    step_hours: int,
) -> pa.Table | None:
    """The same from a connection that sees PLAN_TABLES; `newest`: the newest issued hour.

    None where no issued hour is old enough.
    """
    origins = [] if newest is None else _origins(connection, hour_number(newest), days, step_hours)
    if newest is None or not origins:
        return None
    types = server_types(connection)
    group_of, names = types if groups is None else groups, tuple(sorted(types))
    start = min(origins) - HISTORY_HOURS + 1
    loads = known_loads(
        connection, names, first=start, last=hour_number(newest), retire_after_hours=rules.retire_after_hours
    )
    at = {name: row for row, name in enumerate(names)}
    told = []
    for origin in origins:
        forecasts = issued_forecasts(connection, hour_start(origin), first_issue=True)
        if forecasts is None:
            continue
        its = loads[[at[name] for name in forecasts.servers]]
        now = origin - start + 1
        outlook = outlook_of(forecasts, its[:, now - HISTORY_HOURS : now], group_of, rules)
        came = its[:, now : now + PLAN_HOURS]
        given = judged(outlook, advised(outlook, rules.advice, origin + 1), came)
        told.append((given, all_knowing(outlook, came, rules.advice.maintenance_hours)))
    return pa.Table.from_pylist([{"issued_hours": len(told)} | row for row in held_rows(told)])


def _origins(connection: DuckDBPyConnection, newest: int, days: int, step_hours: int) -> list[int]:
    """The issued hours (numbers) to look at, the newest first."""
    last = newest - PLAN_HOURS
    first = hour_start(last - 24 * days + 1)
    given = {"day": first.date(), "first": first, "last": hour_start(last)}
    found = [hour_number(hour) for (hour,) in connection.sql(_ISSUED_HOURS, params=given).fetchall()]
    return [hour for hour in found if (found[0] - hour) % step_hours == 0]
