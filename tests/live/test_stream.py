"""The live path on a real broker: the same events by replay and stream as by backfill, and forecasts on top."""

import shutil
import threading
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from trained_home import SMALL_MODEL, TrainedHome

from batch.backfill import backfill
from batch.features import update_features
from producers.faults import FaultRates
from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
from producers.senders import KafkaSender
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.contracts.tables import TABLES
from serverload.ingest import ReadOffsets
from serverload.steps.feature_frames import fleet_hours, forecast_feature_frame
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry
from serverload.store.table_reader import run_sql
from streaming.metrics import StreamMetrics
from streaming.metrics_feed import TableFacts
from streaming.stream import Stream, StreamResult


def settings_for(home: Path, topic: str) -> Settings:
    return load_settings(flags={"home": str(home), "stream": {"topic": topic}, "model": SMALL_MODEL})


def drained(tables: DeltaTables, settings: Settings, bootstrap: str) -> StreamResult:
    registry = ModelRegistry("", settings.model.name, settings.home)
    return Stream(tables, settings, registry, Silent()).run(bootstrap, available_now=True, stop=threading.Event())


def sent(paths: list[str], bootstrap: str, topic: str, positions: Path, faults: FaultRates) -> int:
    sender = KafkaSender(bootstrap, topic)
    try:
        return replay(paths, sender, ReplayOptions(None, faults), WallClock(), positions=positions).sent
    finally:
        sender.close()


def sorted_rows(frame: DataFrame) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in frame.collect())


def test_stream_and_backfill_make_the_same_hours(
    spark: SparkSession, kafka, trained: TrainedHome, tmp_path: Path
) -> None:
    topic = kafka.topic(3)
    live = settings_for(tmp_path / "live", topic)
    by_batch, by_stream = DeltaTables(spark, str(tmp_path / "batch")), DeltaTables(spark, live.home)
    faults = FaultRates(late=0.1, shuffle=0.3, seed=5)
    sent([str(file) for file in trained.days[:4]], kafka.bootstrap, topic, tmp_path, faults)

    done = drained(by_stream, live, kafka.bootstrap)
    backfill(by_batch, live.ingest, [str(file) for file in trained.days[:4]], Silent())
    Advance(by_batch, live).run()

    assert sorted_rows(by_stream.read("hourly_load")) == sorted_rows(by_batch.read("hourly_load"))
    assert sorted_rows(by_stream.read("servers")) == sorted_rows(by_batch.read("servers"))
    assert done.advanced.waits_for_model
    assert drained(by_stream, live, kafka.bootstrap).counts.read == 0


@pytest.fixture(scope="module")
def forecasting(
    spark: SparkSession, kafka, trained: TrainedHome, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DeltaTables, Settings, list[StreamResult]]:
    """A trained history and the day after it, live; what the stream did before and after that day was sent."""
    topic, home = kafka.topic(2), trained.copied(tmp_path_factory.mktemp("home"))
    settings = settings_for(home, topic)
    tables = DeltaTables(spark, settings.home)
    first = drained(tables, settings, kafka.bootstrap)
    sent([str(trained.days[-1])], kafka.bootstrap, topic, home, FaultRates())
    return tables, settings, [first, drained(tables, settings, kafka.bootstrap)]


def test_live_days_after_a_trained_history_are_forecast_and_matured(
    forecasting: tuple[DeltaTables, Settings, list[StreamResult]],
) -> None:
    tables, settings, (first, second) = forecasting

    assert len(first.issued) == 1
    assert len(second.issued) == settings.forecast.catch_up_hours
    facts = run_sql(
        settings.home,
        "select count(*) as forecasts, count(distinct (server_ip, issued_hour, horizon_hours, revision)) as keys,"
        " max(abs(probability_low + probability_medium + probability_high - 1)) as off,"
        " count(distinct horizon_hours) as horizons from forecasts",
    ).to_pylist()[0]
    assert facts["forecasts"] == facts["keys"] > 0
    assert facts["off"] < 1e-9
    assert facts["horizons"] == 48
    outcomes = run_sql(
        settings.home, "select count(*) as n, count(distinct target_hour) as hours from forecast_outcomes"
    )
    assert outcomes.to_pylist()[0]["n"] > 0
    again = Advance(tables, settings).run(ModelRegistry("", settings.model.name, settings.home).champion)
    assert again.issued == ()
    assert_scored_rows_equal_the_features_table(tables, settings)
    assert_metrics_of_the_tables(settings)


def assert_metrics_of_the_tables(settings: Settings) -> None:
    metrics = StreamMetrics()
    TableFacts(metrics, settings.metrics, settings.home).look()
    told = metrics.registry.get_sample_value
    matured = sum(told("serverload_quality_forecasts", {"horizons": each}) or 0 for each in ("1-6", "7-24", "25-48"))
    newest = "select count(distinct (server_ip, issued_hour, horizon_hours)) as n from forecast_outcomes"
    assert matured == run_sql(settings.home, newest).to_pylist()[0]["n"] > 0
    assert 0 <= told("serverload_quality", {"horizons": "1-6", "score": "accuracy"}) <= 1
    assert 0 < told("serverload_forecast_age_seconds") < 3600


def assert_scored_rows_equal_the_features_table(tables: DeltaTables, settings: Settings) -> None:
    """The features that a closing scored are, bit for bit, the rows that the batch builds later."""
    update_features(tables, settings, Silent())
    hourly, servers = tables.read("hourly_load"), tables.read("servers")
    newest = hourly.agg(F.max(F.unix_seconds("hour"))).collect()[0][0] // 3600
    origin = newest - 60
    live = forecast_feature_frame(
        hourly, servers, fleet_hours(hourly), origins=[origin], horizons=(1, 48),
        retire_after_hours=settings.time.retire_after_hours, **settings.classes.model_dump(),
    )  # fmt: skip
    names = [name for name in TABLES["features"].column_names if name != "label"]
    matured = tables.read("features").select(*names)
    missed = matured.join(
        live.select("server_ip", "target_hour", "horizon_hours"),
        ["server_ip", "target_hour", "horizon_hours"],
        "left_semi",
    )
    assert missed.count() > 0
    assert missed.exceptAll(live.select(*names)).isEmpty()


def test_late_data_for_forecasts_of_a_model_that_can_be_loaded_no_more_leaves_them_and_is_ingested(
    forecasting: tuple[DeltaTables, Settings, list[StreamResult]], kafka, tmp_path: Path
) -> None:
    tables, settings, _done = forecasting
    shutil.rmtree(Path(settings.home) / "mlartifacts")
    (server,) = (
        row["server_ip"] for row in run_sql(settings.home, "select min(server_ip) server_ip from servers").to_pylist()
    )
    late = tmp_path / "late.csv"
    late.write_text(f"2016-03-01 12:00:00,,1,1,1,1,1,1,1,1,1,1,1,99999,10.9.9.9,{server}\n")
    sent([str(late)], kafka.bootstrap, settings.stream.topic, tmp_path, FaultRates())
    before = tables.version("forecasts")

    done = drained(tables, settings, kafka.bootstrap)

    assert (done.counts.accepted, done.issued, tables.version("forecasts")) == (1, (), before)
    peaks = run_sql(
        settings.home, f"select max(peak_load) >= 99999 as late from hourly_load where server_ip = '{server}'"
    )
    assert peaks.to_pylist() == [{"late": True}]


def test_the_messages_of_a_batch_are_those_between_its_offsets() -> None:
    assert ReadOffsets({"t/0": 3, "t/1": 5}, {"t/0": 7, "t/1": 6}, lost=2).messages == 5
