"""How metrics hear of what the stream does not tell them itself, and how Prometheus gets at them."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import (
    QueryProgressEvent,
    QueryStartedEvent,
    QueryTerminatedEvent,
    StreamingQueryListener,
)

from serverload.contracts.errors import InputError
from serverload.contracts.operation_settings import MetricsSettings
from serverload.store.quality import quality
from serverload.store.status import newest_issue
from streaming.metrics import StreamMetrics

_LOG = logging.getLogger(__name__)
_PATIENCE_SECONDS = 5.0


@contextmanager
def metrics_told(metrics: StreamMetrics, settings: MetricsSettings, spark: SparkSession, home: str) -> Iterator[None]:
    """Answer Prometheus for the block, if a port is set; nothing that goes wrong here ends the block."""
    if not settings.port:
        yield
        return
    try:
        server, thread = start_http_server(settings.port, settings.address, metrics.registry)
    except OSError as error:
        place = f"port {settings.port} on {settings.address}"
        _LOG.warning("[metrics]: no metrics, %s cannot be had (%s)", place, error.strerror)
        yield
        return
    listener, facts = BatchListener(metrics), TableFacts(metrics, settings, home)
    spark.streams.addListener(listener)
    facts.start()
    try:
        yield
    finally:
        facts.stop()
        spark.streams.removeListener(listener)
        server.shutdown()
        server.server_close()
        thread.join(_PATIENCE_SECONDS)


class BatchListener(StreamingQueryListener):
    """Hears from Spark of each micro-batch; what fails in it stands in Spark's log and touches no query."""

    def __init__(self, metrics: StreamMetrics) -> None:
        self._metrics = metrics

    def onQueryStarted(self, event: QueryStartedEvent) -> None:  # noqa: N802 - Spark's name
        """Nothing to note."""

    def onQueryProgress(self, event: QueryProgressEvent) -> None:  # noqa: N802 - Spark's name
        """Note phases and lag."""
        progress = event.progress
        self._metrics.progress(progress.durationMs, [(each.endOffset, each.latestOffset) for each in progress.sources])

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:  # noqa: N802 - Spark's name
        """Nothing to note."""


class TableFacts:
    """Looks into the tables from time to time, without Spark and in a thread of its own: nobody waits for it."""

    def __init__(self, metrics: StreamMetrics, settings: MetricsSettings, home: str) -> None:
        self._metrics, self._settings, self._home = metrics, settings, home
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._told = ""

    def start(self) -> None:
        """Look now, and then again and again."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look under way is not waited for long."""
        self._stop.set()
        self._thread.join(_PATIENCE_SECONDS)

    def look(self) -> None:
        """Note when forecasts were issued last, and the rolling quality if anything has matured."""
        self._metrics.forecasts(newest_issue(self._home))
        try:
            scores = quality(self._home, days=self._settings.quality_days, by="horizon")
        except InputError:
            return
        self._metrics.quality(scores.to_pylist())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a metric is missing then, and the next look may have it
                self._tell_once(f"metrics of the tables wait: {error}")
            self._stop.wait(self._settings.refresh_seconds)

    def _tell_once(self, line: str) -> None:
        if line != self._told:
            self._told = line
            _LOG.warning("%s", line)
