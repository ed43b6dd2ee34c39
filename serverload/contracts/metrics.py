"""Every metric of the streaming job: name, kind, labels and meaning. The exporter and docs are made from this list."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True)
class Metric:
    """One metric as Prometheus knows it; a counter's name ends in `_total`, and counts from the start of the job."""

    name: str
    kind: Kind
    what: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which queries find it."""
        parts = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return tuple(f"{self.name}{part}" for part in parts)


BATCH_SECONDS_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper ends of the buckets in which phases of a micro-batch are counted, in seconds."""

QUALITY_SCORES = ("accuracy", "macro_f1", "recall_high", "rps", "covered")
"""The scores of `serverload quality` that are told as metrics."""

METRICS: dict[str, Metric] = {
    metric.name.removeprefix("serverload_"): metric
    for metric in (
        Metric("serverload_build_info", "gauge", "1, with the version of the program", ("version",)),
        Metric(
            "serverload_stream_lag_messages",
            "gauge",
            "messages of a partition that the topic held and the newest micro-batch had not read",
            ("topic", "partition"),
        ),
        Metric(
            "serverload_stream_batch_seconds",
            "histogram",
            "seconds of a micro-batch by phase: those of Spark (`addBatch`: read, count and write; `triggerExecution`: "
            "all), and `advance`, which follows from time to time",
            ("phase",),
        ),
        Metric("serverload_stream_batches_total", "counter", "micro-batches whose tables are complete"),
        Metric(
            "serverload_stream_last_batch_timestamp_seconds", "gauge", "when the newest of them was; 0 before the first"
        ),
        Metric("serverload_stream_lines_read_total", "counter", "lines read = accepted + rejected + skipped"),
        Metric("serverload_stream_lines_accepted_total", "counter", "lines that are in `load_windows`"),
        Metric("serverload_stream_lines_rejected_total", "counter", "lines that are in `rejects`", ("reason",)),
        Metric("serverload_stream_lines_skipped_total", "counter", "lines left out by `only_servers` or `cutover`"),
        Metric(
            "serverload_stream_lost_offsets_total",
            "counter",
            "messages that retention had deleted before they were read",
        ),
        Metric("serverload_stream_issued_hours_total", "counter", "closed hours whose forecasts were issued"),
        Metric("serverload_watermark_age_seconds", "gauge", "from the watermark to now; of replayed days it is years"),
        Metric("serverload_forecast_age_seconds", "gauge", "since forecasts were issued last, by whichever job"),
        Metric("serverload_model_info", "gauge", "1, with the model at work; absent without one", ("model", "version")),
        Metric(
            "serverload_quality",
            "gauge",
            "a score of what matured for the newest `[metrics] quality_days`, as `serverload quality` has it",
            ("horizons", "score"),
        ),
        Metric("serverload_quality_forecasts", "gauge", "matured forecasts that these scores rest on", ("horizons",)),
        Metric(
            "serverload_trouble",
            "gauge",
            "1 while the newest event about it in `stream_log`, since the job began, is one of trouble; else 0",
            ("about",),
        ),
    )
}
"""The metrics by name without the prefix."""
