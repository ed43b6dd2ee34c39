"""The stream's metrics as Prometheus reads them: what is told of what has happened, by the names of the contract."""

import logging
import math
import socket
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serverload.advance import Advanced
from serverload.contracts.lines import REJECT_REASONS
from serverload.contracts.metrics import METRICS, QUALITY_SCORES
from serverload.contracts.settings import load_settings
from serverload.steps.event_kernel import LineCounts
from streaming.metrics import StreamMetrics
from streaming.metrics_feed import TableFacts, metrics_told

NOW = 1_464_784_200.0  # 2016-06-01 12:30
READ = LineCounts(read=9, accepted=5, rejected=3, skipped=1, rejected_by_reason=Counter(columns=2, encoding=1))


@pytest.fixture
def metrics() -> StreamMetrics:
    return StreamMetrics(clock=lambda: NOW)


def told(metrics: StreamMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"serverload_{name}", labels)


def test_every_name_of_the_contract_is_told_and_no_other(metrics: StreamMetrics) -> None:
    metrics.batch(READ, 0)
    metrics.progress({"addBatch": 1500}, [('{"sessions":{"0":5}}', '{"sessions":{"0":9}}')])
    metrics.advanced(Advanced(None, None), ("serverload-forecast", "3"))
    metrics.quality([{"horizons": "1-6", "matured": 4, **dict.fromkeys(QUALITY_SCORES)}])

    names = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert names == {name for metric in METRICS.values() for name in metric.series}


def test_lines_are_counted_by_what_became_of_them(metrics: StreamMetrics) -> None:
    assert {told(metrics, "stream_lines_rejected_total", reason=reason) for reason in REJECT_REASONS} == {0}
    metrics.batch(READ, 7)
    metrics.batch(READ, 0)

    counted = [told(metrics, f"stream_lines_{what}_total") for what in ("read", "accepted", "skipped")]
    assert counted == [18, 10, 2]
    assert told(metrics, "stream_lines_rejected_total", reason="columns") == 4
    assert told(metrics, "stream_lost_offsets_total") == 7
    assert told(metrics, "stream_batches_total") == 2
    assert told(metrics, "stream_last_batch_timestamp_seconds") == NOW


def test_lag_is_what_the_topic_held_beyond_the_batch(metrics: StreamMetrics) -> None:
    ended, newest = '{"sessions":{"0":5,"1":9}}', '{"sessions":{"0":105,"1":9,"2":3}}'
    metrics.progress({"addBatch": 1500, "getBatch": 3}, [(ended, newest), ("None", "None")])

    assert [told(metrics, "stream_lag_messages", topic="sessions", partition=number) for number in "012"] == [100, 0, 3]
    assert told(metrics, "stream_batch_seconds_sum", phase="addBatch") == 1.5
    assert told(metrics, "stream_batch_seconds_bucket", phase="addBatch", le="2.5") == 1
    assert told(metrics, "stream_batch_seconds_bucket", phase="addBatch", le="1.0") == 0


def test_ages_run_on_and_are_unknown_before_anything_is_known(metrics: StreamMetrics) -> None:
    assert math.isnan(told(metrics, "watermark_age_seconds"))
    assert math.isnan(told(metrics, "forecast_age_seconds"))

    metrics.forecasts(datetime(2016, 6, 1, 12, 0, tzinfo=UTC))
    metrics.advanced(Advanced(datetime(2016, 6, 1, 11, 30, tzinfo=UTC), 1), None)
    assert told(metrics, "watermark_age_seconds") == 3600
    assert told(metrics, "forecast_age_seconds") == 1800

    metrics.advanced(Advanced(None, 1, issued=(1, 2)), None)
    metrics.forecasts(datetime(2016, 6, 1, 12, 0, tzinfo=UTC))  # the tables may be read before the commit
    assert told(metrics, "watermark_age_seconds") == 3600
    assert told(metrics, "forecast_age_seconds") == 0
    assert told(metrics, "stream_issued_hours_total") == 2


def test_the_model_at_work_is_one(metrics: StreamMetrics) -> None:
    for version in ("1", "2"):
        metrics.advanced(Advanced(None, None), ("m", version))
    assert told(metrics, "model_info", model="m", version="1") is None
    assert told(metrics, "model_info", model="m", version="2") == 1


def test_trouble_lasts_until_the_next_event_about_the_same(metrics: StreamMetrics) -> None:
    flags = ("broker", "registry", "model", "shadow", "rollback")
    for event in ("broker_away", "model_refused", "offsets_lost", "registry_away", "registry_back"):
        metrics.told(event)
    assert [told(metrics, "trouble", about=about) for about in flags] == [1, 0, 1, 0, 0]
    metrics.told("model_rolled_back")
    assert told(metrics, "trouble", about="model") == 0


def test_a_taken_port_is_told_and_the_stream_goes_on(
    metrics: StreamMetrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = load_settings(flags={"metrics": {"port": port}}).metrics
        with caplog.at_level(logging.WARNING, "streaming"), metrics_told(metrics, settings, None, str(tmp_path)):
            pass
    (record,) = caplog.records
    assert record.getMessage().startswith(f"[metrics]: no metrics, port {port} on 127.0.0.1 cannot be had (Address")


def test_tables_that_cannot_be_read_are_told_once_and_looked_at_again(
    metrics: StreamMetrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tables" / "forecasts" / "_delta_log").mkdir(parents=True)
    (tmp_path / "tables" / "forecasts" / "_delta_log" / "00000000000000000000.json").write_text("no log")
    settings = load_settings(flags={"metrics": {"refresh_seconds": 1}}).metrics.model_copy(
        update={"refresh_seconds": 0.01}
    )
    facts, looks = TableFacts(metrics, settings, str(tmp_path)), Counter[str]()
    look = facts.look
    facts.look = lambda: looks.update(["look"]) or look()  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING, "streaming"):
        facts.start()
        while looks["look"] < 3:
            assert facts._thread.is_alive()
        facts.stop()
    (record,) = caplog.records
    assert record.getMessage().startswith("metrics of the tables wait: ")
