"""A backtest of a small simulated home: what it finds, what it leaves, and that no cut-off looks past itself."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from statistics import NormalDist

import polars as pl
import pytest
from feature_cases import MONDAY, features_of, hourly_table, simulated_hours, trees_of
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch.backtest import BacktestResult, History, backtest, fitted_at, read_history, split_conformal_sets
from batch.backtest_report import PlainSets
from batch.cutoffs import history_days
from batch.tested_rows import CEILING, named_groups
from batch.train import FOREST
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.model.baselines import BASELINES
from serverload.model.forecasting import PROBABILITIES, scored_rows
from serverload.store.delta_tables import DeltaTables
from serverload.store.runs import list_runs
from serverload.store.tracking import Tracking

SERVERS, DAYS, HORIZONS = 3, 30, (6, 48)
CUTOFF = MONDAY + timedelta(days=29)


def settings_for(home: Path, **backtest: int) -> Settings:
    model = {"training_horizons": "6,48", "trees": 3, "depth": 3}
    return load_settings("local", {"home": str(home), "model": model, "backtest": {"step_days": 1, **backtest}})


def at_most(bound: float, server: int, hour: int) -> float:
    """The chance that an hour of `simulated_hours` has at most this load, idle hours included."""
    level = math.log(30) + server * math.log(60) / (SERVERS - 1)
    swing = 0.8 * math.cos((hour % 24 - 14) * 2 * math.pi / 24) * (server % 2)
    idle = 0.02 * (server > 0)
    return idle + (1 - idle) * NormalDist(level + swing, 0.2).cdf(math.log(bound))


def truth_of_simulated(path: Path, *, without: tuple[str, datetime]) -> str:
    """The true probabilities of `simulated_hours`, as `generate` writes them; none of a server's day."""
    rows = []
    for server, hour in [(server, hour) for server in range(SERVERS) for hour in range(24 * DAYS)]:
        low, not_high = (at_most(bound, server, hour) for bound in (100, 500))
        rows.append((f"10.0.0.{server + 1}", MONDAY + timedelta(hours=hour), low, not_high - low, 1 - not_high))
    frame = pl.DataFrame(rows, schema=["server_ip", "hour", *PROBABILITIES], orient="row")
    server_ip, day = without
    left_out = (pl.col("server_ip") == server_ip) & (pl.col("hour").dt.truncate("1d") == day)
    frame.filter(~left_out).write_parquet(path)
    return str(path)


def servers_of(hourly: DataFrame) -> DataFrame:
    """Table `servers`: the first two of type 4, the last of an unknown type."""
    of_type = sf.when(sf.col("server_ip") < "10.0.0.3", sf.lit(4))
    servers = hourly.groupBy("server_ip").agg(sf.min("hour").alias("first_hour"), sf.max("hour").alias("last_event"))
    return servers.withColumns({"server_type": of_type, "server_type_at": sf.lit(None).cast("timestamp")})


@pytest.fixture(scope="module")
def hours() -> pl.DataFrame:
    return simulated_hours(SERVERS, DAYS)


@pytest.fixture(scope="module")
def tables(spark, hours, tmp_path_factory) -> DeltaTables:
    tables = DeltaTables(spark, str(tmp_path_factory.mktemp("home")))
    hourly = hourly_table(spark, hours)
    tables.replace("hourly_load", hourly, None)
    tables.replace("servers", servers_of(hourly), None)
    tables.replace("features", features_of(hourly, HORIZONS), None)
    return tables


@pytest.fixture(scope="module")
def result(tables, tmp_path_factory) -> BacktestResult:
    truth = truth_of_simulated(tmp_path_factory.mktemp("truth") / "truth.parquet", without=("10.0.0.2", CUTOFF))
    return backtest(tables, settings_for(Path(tables.home)), Tracking("", tables.home), Silent(), truth=truth)


def test_every_model_is_tested_on_the_same_rows_after_each_cutoff(result):
    assert result.facts["cutoffs"] == ["2016-07-04", "2016-07-05"]  # room for two of eight, after 28 days
    for name in (FOREST, *BASELINES, CEILING):
        by_day = [row["rows"] for row in result.report.cutoffs if row["model"] == name]
        assert by_day == [2 * 3 * 24, 2 * 2 * 24]  # two horizons; the truth does not know a server's last day
    assert (result.facts["tested_rows"], result.facts["rows_not_in_truth"]) == (240, 48)


def test_the_ceiling_says_the_true_probabilities(result, hours):
    """Its score is worked out from the truth and the loads themselves, an hour after the other."""
    loads = {(row["server_ip"], row["hour"]): row["peak_load"] for row in hours.iter_rows(named=True)}
    squares = []
    for server, hour in [(server, hour) for server in range(SERVERS) for hour in range(28 * 24, DAYS * 24)]:
        load = loads.get((f"10.0.0.{server + 1}", MONDAY + timedelta(hours=hour)), 0.0)
        if (server, hour // 24) != (1, DAYS - 1):
            squares += [(at_most(bound, server, hour) - (load <= bound)) ** 2 for bound in (100, 500)]

    (ceiling,) = (row for row in result.report.horizons if (row["model"], row["horizon_hours"]) == (CEILING, 48))

    assert ceiling["rps"] == pytest.approx(sum(squares) / len(squares))


def test_idle_and_change_hours_are_scored_apart(result, hours):
    (forest,) = (row for row in result.report.horizons if (row["model"], row["horizon_hours"]) == (FOREST, 48))

    tested = hours.filter(pl.col("hour") >= MONDAY + timedelta(days=28))
    tested = tested.filter((pl.col("server_ip") != "10.0.0.2") | (pl.col("hour") < CUTOFF))
    assert forest["without_idle_rows"] == tested.height < forest["rows"] == 120
    assert 0 < forest["change_rows"] < 60


def test_sets_of_split_conformal_hold_what_reaches_the_one_threshold(spark):
    rows = [
        (FOREST, "low", 0.5, 0.3, 0.2),
        (FOREST, "high", 0.6, 0.3, 0.1),
        (FOREST, "medium", 0.2, 0.2, 0.6),
        ("climatology", "low", 1.0, 0.0, 0.0),
    ]
    forecasts = spark.createDataFrame(rows, ["model", "label", *PROBABILITIES])

    assert split_conformal_sets(forecasts, 0.3) == PlainSets(rows=3, covered=1, size=5)


def test_prediction_sets_stand_beside_those_of_split_conformal(result):
    told = result.facts["split_conformal"]

    assert 0 < told["covered"] <= 1
    assert 0 < told["set_size"] <= 3


def test_groups_are_the_types_of_servers(result):
    rows = {row["server_group"]: row["rows"] for row in result.report.groups if row["model"] == FOREST}

    assert rows == {"4": 2 * 2 * 24 + 2 * 24, "unknown": 2 * 2 * 24}


def test_the_run_holds_metrics_pictures_and_the_whole_report_but_no_model(result, tables):
    tracking = Tracking("", tables.home)
    run = tracking.client().get_run(result.run_id)

    told = {"h6_rps", "h48_change_macro_f1", "all_kappa", "h48_climatology_rps", "h48_ceiling_rps"}
    assert told <= set(run.data.metrics)
    assert (run.data.params["step_days"], run.data.tags["cutoffs"]) == ("1", "2016-07-04,2016-07-05")
    kept = {file.path for file in tracking.client().list_artifacts(result.run_id)}
    assert kept == {"backtest.json", "confusion_matrix.png", "reliability.png", "rps_by_horizon.png"}
    report = json.loads(Path(tracking.client().download_artifacts(result.run_id, "backtest.json")).read_text())
    assert len(report["horizons"]) == 3 * 7
    (row,) = list_runs(tracking)
    assert (row.job, row.status) == ("backtest", "FINISHED")
    assert row.data_range == "2016-06-06 06:00 .. 2016-07-06 00:00"
    assert list(tracking.client().search_registered_models()) == []


def test_nothing_after_a_cutoff_changes_what_is_fitted_for_it(spark, hours, tables, tmp_path):
    """With other loads and fewer hours after the cut-off, the same rows get the same forecasts to the last bit."""
    late = pl.col("hour") >= CUTOFF
    peaks = [name for name in hours.columns if name.startswith("peak_")]
    altered = hours.with_columns(pl.when(late).then(pl.col(name) * 7 + 1).otherwise(name).alias(name) for name in peaks)
    altered = altered.filter(~late | (pl.col("hour").dt.hour() % 5 != 0))
    rows = tables.read("features").where(
        (sf.col("server_ip") == "10.0.0.2") & (sf.col("target_hour") >= sf.lit(CUTOFF))
    )

    told = []
    hourly = hourly_table(spark, altered)
    for features in (tables.read("features"), features_of(hourly, HORIZONS)):
        days = history_days(features)
        history = History(features, hourly, servers_of(hourly), None, days, days)
        fitted, baselines = fitted_at(history, CUTOFF, settings_for(tmp_path), Silent())
        scored = scored_rows(rows, fitted.pipeline, fitted.decision).withColumn("model", sf.lit(FOREST))
        said = scored.unionByName(baselines.forecasts(rows))
        order = ("model", "target_hour", "horizon_hours")
        told.append((trees_of(fitted.pipeline), fitted.decision, said.orderBy(*order).collect()))
        baselines.release()

    assert len(told[0][2]) == (1 + len(BASELINES)) * 2 * 24
    assert told[0] == told[1]


def test_a_truth_of_other_data_is_one_line(tables, tmp_path):
    other = tmp_path / "truth.parquet"
    hour = pl.Series([MONDAY - timedelta(days=900)]).dt.cast_time_unit("us")
    pl.DataFrame({"server_ip": ["10.0.0.1"], "hour": hour, **dict.fromkeys(PROBABILITIES, 1 / 3)}).write_parquet(other)

    with pytest.raises(InputError, match="knows none of the hours of this history"):
        read_history(tables, settings_for(tmp_path), str(other))


def test_a_file_that_is_no_truth_is_one_line(tables, tmp_path):
    pl.DataFrame({"server_ip": ["10.0.0.1"], "probability_low": [1.0]}).write_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("low,medium,high\n")

    for name, what in (("other", "has no column hour, probability_medium"), ("text", "cannot be read as Parquet")):
        with pytest.raises(InputError, match=what):
            read_history(tables, settings_for(tmp_path), str(tmp_path / f"{name}.parquet"))


def test_small_groups_together_are_other(spark):
    groups = spark.createDataFrame(
        [(f"10.0.{group}.{n}", str(group) if group else "") for group in range(23) for n in range(1 + (group < 20))],
        "server_ip string, server_group string",
    )

    named = named_groups(groups).groupBy("server_group").count().collect()

    sizes = {row["server_group"]: row["count"] for row in named}
    assert (sizes["unknown"], sizes["19"], sizes["other"]) == (2, 2, 3)
    assert len(sizes) == 21


def test_a_home_without_features_says_what_to_run(spark, tmp_path):
    with pytest.raises(InputError, match="run `serverload backfill` first"):
        backtest(DeltaTables(spark, str(tmp_path)), settings_for(tmp_path), Tracking("", str(tmp_path)), Silent())

    assert [row.status for row in list_runs(Tracking("", str(tmp_path)))] == ["FAILED"]
