"""What came of the forecasts of one server, at one horizon, from the tables without Spark."""

from datetime import datetime

from duckdb import DuckDBPyConnection
from pyarrow import Table

from serverload.contracts.instants import HOUR

_NEWEST = """
    select target_hour, issued_hour, horizon_hours, revision, model_version, workload_class, actual_class,
        actual_peak_load, correct, probability_of_actual, basis
    from forecast_outcomes
    where server_ip = $server and horizon_hours = $horizon and target_date between $first_day and $last_day
        and target_hour between $first and $last and actual_class is not null
    qualify row_number() over (partition by target_hour order by revision desc, outcome_revision desc) = 1
    order by target_hour
"""


def server_outcomes(tables: DuckDBPyConnection, server: str, *, horizon: int, last: datetime, count: int) -> Table:
    """A row for each matured forecast of the `count` target hours up to `last`: its newest revision and outcome.

    `horizon`: hours ahead. The connection sees `forecast_outcomes`.
    """
    first = last - (count - 1) * HOUR
    given = {"server": server, "horizon": horizon, "first": first, "last": last}
    return tables.sql(_NEWEST, params=given | {"first_day": first.date(), "last_day": last.date()}).to_arrow_table()
