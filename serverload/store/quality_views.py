"""Matured forecasts seen closer, counted by DuckDB: beside naive forecasts, class against class, bin by bin."""

from duckdb import DuckDBPyConnection
from pyarrow import Table

from serverload.contracts.classes import CLASSES, RELIABILITY_BINS
from serverload.store.quality import SCORED, VIEWS, day_before, order_of, view_name
from serverload.store.status import class_of

QUALITY_TABLES = ("forecast_outcomes", "shadow_forecasts", "servers")

_NAIVE = """,
    beside as (
        select grouped.*, {persistence} as persistence, {last_week} as last_week
        from grouped
        left join hourly_load issued on issued.server_ip = grouped.server_ip
            and issued.hour = grouped.target_hour - to_hours(grouped.horizon_hours)
        left join hourly_load week_before on week_before.server_ip = grouped.server_ip
            and week_before.hour = grouped.target_hour - interval 168 hours
        where role = 'issued'
    )
    select {by} as "{name}", count(*) as matured, avg((workload_class = actual_class)::int) as accuracy,
        avg(rps) as rps, {scores}
    from beside group by all order by {order}
"""
_STEPS = "abs(list_position($classes, {said}) - list_position($classes, actual_class)) / 2"
_CONFUSION = """
    select actual_class, workload_class, count(*) as forecasts from grouped where role = 'issued'
    group by actual_class, workload_class
    order by list_position($classes, actual_class), list_position($classes, workload_class)
"""
_CALIBRATION = """,
    said as (
        select server_ip, issued_hour, horizon_hours, revision, {probabilities} from forecasts
        where target_date > $since
    ),
    each as (
        select unnest($classes) as workload_class, newest.actual_class, unnest([{probabilities}]) as given
        from newest join said using (server_ip, issued_hour, horizon_hours, revision)
        where actual_class is not null and newest.workload_class is not null
    ),
    binned as (
        select *, least(greatest(floor(given * {bins}), 0), {bins} - 1)::int as bin from each
    )
    select workload_class, bin, count(*) as rows, avg(given) as mean_probability,
        avg((actual_class = workload_class)::int) as share_that_came
    from binned group by workload_class, bin order by list_position($classes, workload_class), bin
"""


def beside_naive(connection: DuckDBPyConnection, *, days: int, by: str, low_max: float, medium_max: float) -> Table:
    """Scores of a view's groups, as `quality` has them, beside two naive forecasts of the same rows.

    `persistence`: the class of the issued hour; `last_week`: of the target hour less 168 h; an hour without sessions
    has load 0. `*_accuracy` is a share; `*_rps` is that of a forecast which is sure of its class. The connection sees
    QUALITY_TABLES and `hourly_load`. No rows before anything has matured.
    """
    naive = {
        name: class_of(f"{hour}.peak_load", low_max, medium_max)
        for name, hour in (("persistence", "issued"), ("last_week", "week_before"))
    }
    scores = ", ".join(
        f"avg(({name} = actual_class)::int) as {name}_accuracy, avg({_STEPS.format(said=name)}) as {name}_rps"
        for name in naive
    )
    query = _NAIVE.format(by=VIEWS[by], name=view_name(by), order=order_of(by), scores=scores, **naive)
    return _asked(connection, days, query)


def confusion(connection: DuckDBPyConnection, *, days: int) -> Table:
    """How often which class was said where which came: `actual_class`, `workload_class`, `forecasts`."""
    return _asked(connection, days, _CONFUSION)


def calibration(connection: DuckDBPyConnection, *, days: int) -> Table:
    """Of each class and bin of its probability, the mean of this and how often the class came.

    Columns as in `model.reliability.ReliabilityBin`. The connection sees QUALITY_TABLES and `forecasts`.
    """
    probabilities = ", ".join(f"probability_{name}" for name in CLASSES)
    return _asked(connection, days, _CALIBRATION.format(probabilities=probabilities, bins=RELIABILITY_BINS))


def _asked(connection: DuckDBPyConnection, days: int, query: str) -> Table:
    since = day_before(connection, days)
    given = {"since": since, "classes": list(CLASSES)}
    return connection.sql(SCORED + query, params=given).to_arrow_table()
