"""What Prometheus collects: requests of all worker processes together, and how the model and the forecasts stand."""

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from serving.service import Service

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the folder by which processes count together; set before this module is imported."""

_BUCKETS = (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_OURS = CollectorRegistry()
REQUESTS = Counter("serverload_requests", "Requests answered.", ("method", "path", "status"), registry=_OURS)
SECONDS = Histogram(
    "serverload_request_seconds", "From a request's first byte to the end of its answer.", ("path",),
    buckets=_BUCKETS, registry=_OURS,
)  # fmt: skip
SCORED = Counter("serverload_scored_forecasts", "Forecasts made by POST /score.", registry=_OURS)


class _Standing:
    """Facts as they stand when they are collected."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """The model at work, what is wrong with it or the registry, and the age of what was issued."""
        champion = self._service.champion
        model = GaugeMetricFamily("serverload_model", "1 for the version at work.", labels=("name", "version"))
        if champion.model is not None:
            model.add_metric([champion.model.name, champion.model.version], 1)
        yield model
        trouble = "1 while the champion cannot be taken up or the registry does not answer."
        yield GaugeMetricFamily("serverload_model_trouble", trouble, value=float(bool(champion.trouble)))
        looked = "When the registry was last asked, seconds since 1970."
        yield GaugeMetricFamily("serverload_registry_looked_at_seconds", looked, value=champion.standing.looked_at)
        issued_at = self._service.newest_issued_at()
        issued = "When the newest forecasts were issued, seconds since 1970; 0 without any."
        stamp = issued_at.timestamp() if issued_at else 0.0
        yield GaugeMetricFamily("serverload_newest_issued_at_seconds", issued, value=stamp)


def exposition(service: Service) -> bytes:
    """All of it as text, of every process where they count together."""
    standing = CollectorRegistry()
    standing.register(_Standing(service))
    counted = _OURS
    if SHARED_FOLDER in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return bytes(generate_latest(counted)) + bytes(generate_latest(standing))
