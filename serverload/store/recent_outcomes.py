"""How a version's forecasts have fared of late, counted by DuckDB: what `advance.adaptive_sets` counts by Spark."""

from datetime import date, timedelta

from duckdb import DuckDBPyConnection

from serverload.contracts.classes import CLASSES
from serverload.model.prediction_sets import BINS, RECENT_DAYS, drawn_below

_OF_DAYS = "from forecast_outcomes where target_date between $first and $last"
_CELLS = f"""
    with newest as (
        select server_ip, actual_class, probability_of_actual as given {_OF_DAYS}
            and md5(concat_ws('/', server_ip, epoch(issued_hour)::bigint, horizon_hours)) < $below
            and model_version = $version and probability_of_actual is not null
        qualify row_number() over (
            partition by server_ip, issued_hour, horizon_hours, revision order by outcome_revision desc
        ) = 1
    )
    select coalesce(server_type::varchar, ''), list_position($classes, actual_class) - 1,
        least(floor(given * {BINS}), {BINS - 1})::bigint as bin, count(*)
    from newest left join servers using (server_ip) group by all
"""


def outcome_cells(connection: DuckDBPyConnection, version: str, day: date) -> list[tuple[str, int, int, int]]:
    """Counts for `prediction_sets.thresholds_by_group` (server group, class that came, bin, rows) as before a UTC day.

    The connection sees `forecast_outcomes` and `servers`.
    """
    of_days = {"first": day - timedelta(days=RECENT_DAYS), "last": day - timedelta(days=1)}
    (counted,) = connection.sql(f"select count(*) {_OF_DAYS}", params=of_days).fetchall()
    given = of_days | {"below": drawn_below(counted[0]), "version": version, "classes": list(CLASSES)}
    return connection.sql(_CELLS, params=given).fetchall()
