"""The stream's metrics: plain numbers kept in memory as things happen, told whenever Prometheus asks."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

import serverload
from serverload.advance import Advanced
from serverload.contracts.lines import REJECT_REASONS
from serverload.contracts.metrics import BATCH_SECONDS_BOUNDS, METRICS, QUALITY_SCORES, Metric
from serverload.contracts.tables import TROUBLE_EVENTS
from serverload.steps.event_kernel import LineCounts


class StreamMetrics:
    """What is known of a running stream; each method hears of one thing, and none of them reads or waits."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._clock = clock
        self._gauges = {name: _gauge(metric, self.registry) for name, metric in _of_kind("gauge")}
        self._counters = {name: _counter(metric, self.registry) for name, metric in _of_kind("counter")}
        self._seconds = {name: _histogram(metric, self.registry) for name, metric in _of_kind("histogram")}
        self._issued_at = self._watermark = math.nan
        self._model: tuple[str, str] | None = None
        self._begin()

    def _begin(self) -> None:
        """What can be told before anything has happened: what counts from 0 is there from the start."""
        self._gauges["build_info"].labels(serverload.__version__).set(1)
        self._gauges["watermark_age_seconds"].set_function(lambda: self._clock() - self._watermark)
        self._gauges["forecast_age_seconds"].set_function(lambda: self._clock() - self._issued_at)
        for reason in REJECT_REASONS:
            self._counters["stream_lines_rejected_total"].labels(reason)
        for event in TROUBLE_EVENTS:
            self._gauges["trouble"].labels(_about(event)).set(0)

    def batch(self, counts: LineCounts, lost_offsets: int) -> None:
        """A micro-batch is complete."""
        for what in ("read", "accepted", "skipped"):
            self._counters[f"stream_lines_{what}_total"].inc(getattr(counts, what))
        for reason, lines in counts.rejected_by_reason.items():
            self._counters["stream_lines_rejected_total"].labels(reason).inc(lines)
        self._counters["stream_lost_offsets_total"].inc(lost_offsets)
        self._counters["stream_batches_total"].inc()
        self._gauges["stream_last_batch_timestamp_seconds"].set(self._clock())

    def progress(self, phase_millis: Mapping[str, int], offsets: Iterable[tuple[str, str]]) -> None:
        """Spark has ended a micro-batch: its phases, and of each source where it ended and where the topic did.

        Offsets are JSON as Spark has them, topic to partition to offset; a source that tells none is passed over.
        """
        for phase, millis in phase_millis.items():
            self.phase(phase, millis / 1000)
        for ended, newest in offsets:
            for topic, partition, lag in _lags(ended, newest):
                self._gauges["stream_lag_messages"].labels(topic, partition).set(lag)

    def phase(self, phase: str, seconds: float) -> None:
        """A phase has taken so long."""
        self._seconds["stream_batch_seconds"].labels(phase).observe(seconds)

    def advanced(self, done: Advanced, model: tuple[str, str] | None) -> None:
        """An advance has ended; `model` is the name and version at work."""
        if done.watermark is not None:
            self._watermark = done.watermark.timestamp()
        if done.issued:
            self._counters["stream_issued_hours_total"].inc(len(done.issued))
            self._issued_at = self._clock()
        if model != self._model:
            self._model = model
            self._gauges["model_info"].clear()
            if model:
                self._gauges["model_info"].labels(*model).set(1)

    def told(self, event: str) -> None:
        """Something of STREAM_EVENTS has happened."""
        if (about := _about(event)) in map(_about, TROUBLE_EVENTS):
            self._gauges["trouble"].labels(about).set(event in TROUBLE_EVENTS)

    def forecasts(self, issued_at: datetime | None) -> None:
        """When the tables have forecasts issued last: another job may have done that."""
        if issued_at is not None:
            self._issued_at = max(issued_at.timestamp(), 0.0 if math.isnan(self._issued_at) else self._issued_at)

    def quality(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Scores of matured forecasts, a row per range of horizons."""
        for row in rows:
            horizons = str(row["horizons"])
            self._gauges["quality_forecasts"].labels(horizons).set(_number(row["matured"]))
            for score in QUALITY_SCORES:
                self._gauges["quality"].labels(horizons, score).set(_number(row[score]))


def _of_kind(kind: str) -> Iterator[tuple[str, Metric]]:
    return ((name, metric) for name, metric in METRICS.items() if metric.kind == kind)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.what, metric.labels, registry=registry)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.what, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.what, metric.labels, registry=registry, buckets=BATCH_SECONDS_BOUNDS)


def _about(event: str) -> str:
    return event.partition("_")[0]


def _number(entry: object) -> float:
    return float(entry) if isinstance(entry, int | float) else math.nan


def _lags(ended: str, newest: str) -> Iterator[tuple[str, str, int]]:
    ends, newests = (json.loads(text) if text.startswith("{") else {} for text in (ended, newest))
    for topic, partitions in newests.items():
        for partition, offset in partitions.items():
            yield topic, partition, max(0, offset - ends.get(topic, {}).get(partition, 0))
