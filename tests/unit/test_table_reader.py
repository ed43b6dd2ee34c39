"""The tables read without Spark: drawn rows in, rows and facts out."""

import io
import json
import math
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from table_cases import ARROW, NOON, forecast, hours, outcome, put, shown

from serverload.contracts.errors import InputError, StoreError
from serverload.contracts.lines import MEASURES
from serverload.contracts.tables import TABLES
from serverload.store.status import outcome_summary, reject_summary, status
from serverload.store.table_reader import forecasts, open_table, run_sql, write_rows


def window(**more: object) -> dict[str, object]:
    zeros = dict.fromkeys(MEASURES, 0.0)
    return {
        "server_ip": "10.0.0.1",
        "window_start": NOON,
        "sessions": 1,
        "month": "2016-06",
        "source": "live",
        **zeros,
        **more,
    }


def text(table: pa.Table, format: str) -> str:
    out = io.StringIO()
    write_rows(table, format, out)  # type: ignore[arg-type]
    return out.getvalue()


def test_a_table_that_is_not_made_is_none(tmp_path: Path) -> None:
    assert open_table(str(tmp_path), "forecasts") is None
    (tmp_path / "tables" / "forecasts").mkdir(parents=True)
    assert open_table(str(tmp_path), "forecasts") is None


def test_the_coming_hours_are_told_by_the_newest_issued_hour(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", *(forecast("10.0.0.2", 0, horizon, workload_class="high") for horizon in (1, 2, 3)))
    put(tmp_path, "forecasts", *(forecast("10.0.0.2", 1, horizon) for horizon in (1, 3)), forecast("10.0.0.1", 1, 1))
    assert shown(forecasts(str(tmp_path)), "server_ip", "target_hour", "issued_hour", "workload_class") == [
        ("10.0.0.1", hours(2), hours(1), "low"),
        ("10.0.0.2", hours(2), hours(1), "low"),
        ("10.0.0.2", hours(3), hours(0), "high"),
        ("10.0.0.2", hours(4), hours(1), "low"),
    ]
    assert forecasts(str(tmp_path), server="10.0.0.1").num_rows == 1


def test_a_newer_revision_wins_but_not_over_a_newer_issued_hour(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", forecast("a", 0, 3, revision=5), forecast("a", 1, 2), forecast("a", 1, 2, revision=1))
    assert shown(forecasts(str(tmp_path)), "issued_hour", "revision") == [(hours(1), 1)]


def test_at_finds_the_hour_that_contains_the_time_also_a_past_one(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", forecast("a", 0, 1), forecast("a", 0, 2), forecast("a", 5, 1))
    assert shown(forecasts(str(tmp_path), at=hours(1.99)), "target_hour") == [(hours(1),)]
    assert forecasts(str(tmp_path), at=hours(30)).num_rows == 0


def test_as_of_shows_what_was_believed_then(tmp_path: Path) -> None:
    put(
        tmp_path,
        "forecasts",
        forecast("a", 0, 1),
        forecast("a", 0, 2),
        forecast("a", 0, 2, revision=1, issued_at=hours(9)),
    )
    put(tmp_path, "forecasts", forecast("a", 1, 1))
    then = forecasts(str(tmp_path), as_of=hours(2))
    assert shown(then, "target_hour", "issued_hour", "revision") == [(hours(1), hours(0), 0), (hours(2), hours(0), 0)]
    assert forecasts(str(tmp_path), as_of=hours(1)).num_rows == 0
    assert shown(forecasts(str(tmp_path), at=hours(2), as_of=hours(2)), "revision") == [(0,)]


def test_days_that_cannot_matter_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", forecast("a", -24 * 30, 1), forecast("a", 0, 1))
    for file in (tmp_path / "tables" / "forecasts" / "target_date=2016-05-11").iterdir():
        file.write_bytes(b"not to be read")
    assert forecasts(str(tmp_path), server="a").num_rows == 1
    assert forecasts(str(tmp_path), at=hours(1)).num_rows == 1
    with pytest.raises(StoreError, match="reading the stream registered as 'forecasts' failed"):
        forecasts(str(tmp_path), at=hours(1 - 24 * 30))


def test_an_unknown_server_is_one_line_that_names_known_ones(tmp_path: Path) -> None:
    put(tmp_path, "forecasts", *(forecast(f"10.0.0.{last}", 0, 1) for last in (1, 2, 3, 4)))
    put(tmp_path, "servers", {"server_ip": "10.0.0.9", "last_event": NOON})
    with pytest.raises(InputError) as unknown:
        forecasts(str(tmp_path), server="10.0.0.8")
    assert str(unknown.value) == (
        "no forecasts for server 10.0.0.8; it is not in table servers; "
        "4 servers have forecasts, such as 10.0.0.1, 10.0.0.2, 10.0.0.3"
    )
    with pytest.raises(InputError, match=r"10\.0\.0\.9; it is in table servers, but has had no forecast yet; "):
        forecasts(str(tmp_path), server="10.0.0.9")
    assert forecasts(str(tmp_path), server="10.0.0.4", at=hours(7)).num_rows == 0


def test_without_forecasts_or_home_the_error_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no tables in .*; run `serverload backfill PATH` first$"):
        forecasts(str(tmp_path))
    put(tmp_path, "servers", {"server_ip": "a", "last_event": NOON})
    with pytest.raises(InputError, match=r"no forecasts yet in .*; run `serverload train` and `serverload stream`"):
        forecasts(str(tmp_path))


def test_partial_sums_are_added_exactly_and_held_at_the_limit(tmp_path: Path) -> None:
    thirds = [window(total_load=0.1, batch_id=number) for number in range(3)]
    put(
        tmp_path,
        "load_windows",
        *thirds,
        window(server_ip="b", total_load=9e12),
        window(server_ip="b", total_load=9e12),
    )
    sums = run_sql(str(tmp_path), "select * from load_window_sums order by server_ip")
    assert shown(sums, "server_ip", "sessions", "total_load", "month") == [
        ("10.0.0.1", 3, 0.3, "2016-06"),
        ("b", 2, 9e12, "2016-06"),
    ]


def test_the_newest_known_type_counts_and_of_equal_times_the_largest(tmp_path: Path) -> None:
    put(
        tmp_path,
        "load_windows",
        window(server_type=9, server_type_at=NOON, last_event=NOON),
        window(server_type=1, server_type_at=hours(0.05), last_event=hours(0.05)),
        window(server_type=2, server_type_at=hours(0.05), last_event=hours(0.05)),
        window(last_event=hours(0.06), server_type_at=hours(0.06)),
    )
    sums = run_sql(str(tmp_path), "select * from load_window_sums")
    assert shown(sums, "server_type", "server_type_at", "last_event") == [(2, hours(0.05), hours(0.06))]


def test_sql_sees_every_table_in_utc_and_those_not_made_as_empty(tmp_path: Path) -> None:
    put(tmp_path, "servers", {"server_ip": "a", "last_event": NOON})
    assert shown(run_sql(str(tmp_path), "select hour(last_event) as hour from servers"), "hour") == [(12,)]
    for name in (*TABLES, "load_window_sums"):
        assert run_sql(str(tmp_path), f"select * from {name}").num_rows == (name == "servers")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("selec 1", "sql: Parser Error: syntax error at or near"),
        ("select * from nowhere", "sql: Catalog Error: Table with name nowhere does not exist"),
        ("select 1; select 2", "sql: expected one SQL statement, got 2"),
        ("-- nothing", "sql: expected one SQL statement, got 0"),
        ("drop view servers", "sql: only SELECT is allowed, got DROP; tables are read-only here"),
        ("copy servers to 'out.csv'", "sql: only SELECT is allowed, got COPY"),
        ("select * from read_csv('/etc/passwd')", "sql: Permission Error"),
        ("select * from '/etc/passwd'", "sql: Catalog Error"),
        ("select * from ROWS", "sql: Catalog Error"),
    ],
)
def test_what_is_not_one_select_over_the_tables_is_refused_in_one_line(
    tmp_path: Path, query: str, message: str
) -> None:
    put(tmp_path, "servers", {"server_ip": "a", "last_event": NOON})
    with pytest.raises(InputError) as refused:
        run_sql(str(tmp_path), query)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_status_of_nothing_is_none_and_zero(tmp_path: Path) -> None:
    facts = status(str(tmp_path), allowed_lateness_minutes=10, now=NOON)
    assert {fact for fact in facts.values() if fact} == set()
    assert facts["watermark"] is None
    assert facts["live_lines_read"] == 0
    assert facts["correct_share"] is None


def test_status_tells_what_came_in_and_how_far_time_has_come(tmp_path: Path) -> None:
    put(tmp_path, "servers", {"server_ip": "a", "last_event": hours(1)}, {"server_ip": "b", "last_event": hours(0)})
    put(tmp_path, "load_windows", window(), window(batch_id=2))
    log = {"read": 10, "accepted": 7, "rejected": 2, "skipped": 1, "committed_at": hours(1)}
    history = log | {"source": "history", "rejected_by_reason": [("columns", 2)], "committed_at": hours(3)}
    live = log | {"source": "live", "rejected_by_reason": [("columns", 1), ("ahead", 1)]}
    put(tmp_path, "ingest_log", history, live, live | {"committed_at": hours(2)})
    facts = status(str(tmp_path), allowed_lateness_minutes=10, now=hours(2.5))
    assert facts["watermark"] == hours(1) - timedelta(minutes=10)
    assert facts["newest_closed_hour"] == hours(-1)
    assert (facts["servers"], facts["load_windows_rows"]) == (2, 2)
    assert [facts[f"live_lines_{name}"] for name in ("read", "accepted", "rejected", "skipped")] == [20, 14, 4, 2]
    assert facts["history_lines_read"] == 10
    assert (facts["rejected_columns"], facts["rejected_ahead"], facts["rejected_header"]) == (4, 2, 0)
    assert (facts["last_live_batch_at"], facts["last_live_batch_age_seconds"]) == (hours(2), 1800.0)


def test_status_tells_the_newest_forecast_and_the_share_that_was_right(tmp_path: Path) -> None:
    put(
        tmp_path,
        "forecasts",
        forecast("a", 0, 1, model_version="2"),
        forecast("a", 1, 1),
        forecast("b", 1, 1, model_version="4"),
    )
    put(tmp_path, "forecast_outcomes", outcome("a", 0, 1, "low", "low"), outcome("a", 0, 2, "low", "high"))
    put(
        tmp_path, "forecast_outcomes", outcome("a", 0, 2, "high", "high", revision=1), outcome("a", 0, 3, "low", "high")
    )
    facts = status(str(tmp_path), allowed_lateness_minutes=10, now=hours(2.5))
    assert (facts["newest_issued_hour"], facts["newest_issued_at"]) == (hours(1), hours(2.25))
    assert (facts["newest_issued_age_seconds"], facts["model_versions"]) == (900.0, "forest 3, forest 4")
    assert facts["matured_forecasts"] == 3
    assert facts["correct_share"] == pytest.approx(2 / 3)


def test_outcomes_are_summed_up_per_group_of_horizons_beside_naive_forecasts(tmp_path: Path) -> None:
    load = {"server_ip": "a", "month": "2016-06"}
    put(tmp_path, "hourly_load", load | {"hour": hours(0), "peak_load": 10.0})
    put(tmp_path, "hourly_load", load | {"hour": hours(6 - 168), "peak_load": 20.000001})
    put(
        tmp_path,
        "forecast_outcomes",
        outcome("a", 0, 6, "low", "medium"),
        outcome("a", 0, 6, "low", "high", outcome_revision=1, probability_of_actual=0.0),
        outcome("a", 0, 7, "low", "low"),
        outcome("b", 0, 24, "medium", "medium", probability_of_actual=0.25),
        outcome("b", 0, 25, "medium", "medium"),
        outcome("b", 0, 25, "medium", None, outcome_revision=1),
    )
    summary = outcome_summary(str(tmp_path), low_max=10.0, medium_max=20.0)
    assert shown(summary, "horizons", "matured", "accuracy", "persistence_accuracy", "last_week_accuracy") == [
        ("1-6", 1, 0.0, 0.0, 1.0),
        ("7-24", 2, 1.0, 0.5, 0.5),
        ("all", 3, pytest.approx(2 / 3), pytest.approx(1 / 3), pytest.approx(2 / 3)),
    ]
    assert summary["log_loss"].to_pylist()[:2] == pytest.approx([-math.log(1e-15), math.log(8) / 2])


def test_without_outcomes_the_summary_has_no_rows(tmp_path: Path) -> None:
    put(tmp_path, "servers", {"server_ip": "a", "last_event": NOON})
    assert outcome_summary(str(tmp_path), low_max=1.0, medium_max=2.0).num_rows == 0


def test_rejects_are_counted_by_reason_with_a_short_example(tmp_path: Path) -> None:
    put(tmp_path, "rejects", {"line": "x" * 100, "reason": "ahead"}, {"line": "b", "reason": "columns"})
    put(tmp_path, "rejects", {"line": "a", "reason": "columns"})
    assert shown(reject_summary(str(tmp_path)), "reason", "lines", "example") == [
        ("columns", 2, "a"),
        ("ahead", 1, "x" * 80),
    ]


ROWS = pa.table(
    {
        "server_ip": ["10.0.0.1", "[red]x,y"],
        "hour": pa.array([NOON, None], ARROW["TIMESTAMP"]),
        "load": [0.1 + 0.2, math.nan],
        "by_reason": pa.array([[("ahead", 2)], []], ARROW["MAP<STRING, BIGINT>"]),
    }
)


def test_json_is_a_list_of_objects(tmp_path: Path) -> None:
    assert json.loads(text(ROWS, "json")) == [
        {
            "server_ip": "10.0.0.1",
            "hour": "2016-06-10T12:00:00Z",
            "load": 0.30000000000000004,
            "by_reason": {"ahead": 2},
        },
        {"server_ip": "[red]x,y", "hour": None, "load": None, "by_reason": {}},
    ]
    assert json.loads(text(ROWS.slice(0, 0), "json")) == []
    assert json.loads(text(pa.table([[1], [2]], ["a", "a"]), "json")) == [{"a": 1, "a_1": 2}]


def test_csv_has_a_header_and_quotes_what_needs_it() -> None:
    assert text(ROWS, "csv") == (
        "server_ip,hour,load,by_reason\n"
        '10.0.0.1,2016-06-10T12:00:00Z,0.30000000000000004,"{""ahead"": 2}"\n'
        '"[red]x,y",,,{}\n'
    )
    assert text(ROWS.slice(0, 0), "csv") == "server_ip,hour,load,by_reason\n"


def test_text_is_aligned_and_never_cut() -> None:
    wide = pa.table({"n": [1, 100], "line": ["x" * 500, "y"], "hour": pa.array([NOON, NOON], ARROW["TIMESTAMP"])})
    lines = text(wide, "table").splitlines()
    assert [line.split() for line in lines] == [
        ["n", "line", "hour"],
        ["1", "x" * 500, "2016-06-10T12:00:00Z"],
        ["100", "y", "2016-06-10T12:00:00Z"],
    ]
    assert len({line.index(mark) for line, mark in zip(lines, ("hour", "2016", "2016"), strict=True)}) == 1
    assert "[red]x,y" in text(ROWS, "table")
