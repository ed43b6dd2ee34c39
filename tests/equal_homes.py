"""Two homes with the same lines hold the same tables, whoever filled them; and outcomes are a recount of forecasts."""

from collections.abc import Sequence
from pathlib import Path

from serverload.store.table_reader import run_sql


def assert_equal_homes(live: Path, batch: Path) -> None:
    for query in (
        "select * from load_window_sums",
        "select line, reason from rejects",
        "select * from hourly_load",
        "select * from servers",
        "select * from features",
    ):
        assert rows(live, query) == rows(batch, query), query
    hours = [rows(home, "select max(issued_hour) as hour from forecasts") for home in (live, batch)]
    assert hours[0] == hours[1]
    newest = """
        select server_ip, horizon_hours, model_version, workload_class, round(probability_low, 9) as low,
            round(probability_medium, 9) as medium
        from forecasts where issued_hour = (select max(issued_hour) from forecasts)
        qualify row_number() over (partition by server_ip, horizon_hours order by revision desc) = 1
    """
    assert rows(live, newest) == rows(batch, newest)
    assert rows(live, newest)
    for key, table in (
        ("server_ip, issued_hour, horizon_hours, revision", "forecasts"),
        ("server_ip, issued_hour, horizon_hours, revision, outcome_revision", "forecast_outcomes"),
    ):
        assert rows(live, f"select count(*) - count(distinct ({key})) as doubled from {table}") == [(0,)]


def rows(home: Path, query: str) -> Sequence[tuple[object, ...]]:
    return sorted((tuple(row.values()) for row in run_sql(str(home), query).to_pylist()), key=repr)


def assert_outcomes_are_a_recount(home: Path) -> None:
    """Each forecast for a closed hour that was observed or idle has an outcome, and the newest has its class."""
    recount = """
        with closed as (select max(target_hour) as hour from forecast_outcomes),
        fleet as (select distinct hour from hourly_load),
        due as (
            select f.server_ip, f.issued_hour, f.horizon_hours, f.revision, f.workload_class,
                coalesce(h.peak_load, 0) as peak_load
            from forecasts f join fleet on fleet.hour = f.target_hour
            join servers s on s.server_ip = f.server_ip and s.first_hour <= f.target_hour
            left join hourly_load h on h.server_ip = f.server_ip and h.hour = f.target_hour
            where f.target_hour <= (select hour from closed)
        ),
        newest as (
            select * from forecast_outcomes qualify row_number() over (
                partition by server_ip, issued_hour, horizon_hours, revision order by outcome_revision desc) = 1
        )
        select count(*) as wrong from due full join newest using (server_ip, issued_hour, horizon_hours, revision)
        where newest.actual_class is null or due.peak_load is null
            or newest.actual_class <> case when due.peak_load <= 100 then 'low' when due.peak_load <= 500 then 'medium'
                else 'high' end
            or newest.correct <> (due.workload_class = newest.actual_class)
    """
    assert rows(home, recount) == [(0,)]
    assert rows(home, "select count(*) > 0 as some from forecast_outcomes") == [(True,)]
