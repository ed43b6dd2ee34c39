"""The streaming job: ingest runs as a query, and `advance` follows it from the main thread."""

import threading
import time
from dataclasses import dataclass

from pyspark.errors import StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

from serverload.advance import Advance, Advanced
from serverload.advance.forecasts import ScoringModel
from serverload.contracts.errors import ModelError, StoreError
from serverload.contracts.instants import hour_start
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.steps.event_kernel import LineCounts
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home
from serverload.store.model_registry import ModelRegistry
from streaming.queries import started_query
from streaming.sources import kafka_messages

_STOP_SECONDS = 120.0
_POLL_SECONDS = 0.2


@dataclass
class StreamResult:
    """What a stream did until it stopped: batches, lines, hours issued, and how things stood at its last advance."""

    batches: int
    counts: LineCounts
    issued: tuple[int, ...]
    advanced: Advanced


class Stream:
    """One run of the streaming job on a home."""

    def __init__(self, tables: DeltaTables, settings: Settings, registry: ModelRegistry, progress: Progress) -> None:
        self._tables, self._settings, self._registry, self._progress = tables, settings, registry, progress
        self._advance = Advance(tables, settings)
        self._batches, self._counts = 0, LineCounts()
        self._issued: list[int] = []

    def run(self, bootstrap: str, *, available_now: bool, stop: threading.Event) -> StreamResult:
        """Ingest and advance until `stop` is set, or, with `available_now`, until what is there has been read.

        Raises StoreError where the query fails, ModelError where a configured registry does not answer at start.
        """
        with held_for_home(self._tables.home, "stream", wait_seconds=1.0):
            self._champion()
            self._advanced()
            query = self._query(bootstrap, available_now)
            try:
                self._follow(query, stop)
            finally:
                self._stop_between_batches(query)
            self._raise_failure(query)
            advanced = self._advanced()
            return StreamResult(self._batches, self._counts, tuple(self._issued), advanced)

    def _query(self, bootstrap: str, available_now: bool) -> StreamingQuery:
        stream = self._settings.stream
        return started_query(
            self._tables,
            kafka_messages(self._tables.spark, bootstrap, stream),
            self._settings.ingest,
            stream,
            f"{self._tables.home}/checkpoints/{stream.topic}",
            available_now=available_now,
            committed=self._committed,
        )

    def _committed(self, counts: LineCounts) -> None:
        self._batches += 1
        self._counts += counts

    def _follow(self, query: StreamingQuery, stop: threading.Event) -> None:
        """Advance from time to time, with or without new batches: a first champion is work too.

        A registry that does not answer, or a home that another job works on, is told and tried again: ingest goes on.
        """
        interval = self._settings.stream.forecast_interval_seconds
        last = time.monotonic()
        while query.isActive and not stop.wait(_POLL_SECONDS):
            if time.monotonic() - last < interval:
                continue
            try:
                self._advanced()
            except (StoreError, ModelError) as error:
                self._progress.say(f"forecasts wait: {error}")
            last = time.monotonic()

    def _advanced(self) -> Advanced:
        self._progress.step("advance")
        done = self._advance.run(self._champion, self._registry.version)
        self._issued.extend(done.issued)
        for hour in done.issued:
            self._progress.say(f"issued the forecasts of {hour_start(hour):%Y-%m-%d %H:%M}Z")
        if done.waits_for_model:
            self._progress.say("no champion model yet: forecasts wait; run `serverload train`")
        self._progress.step(f"{self._batches} batches, {self._counts.read:,} lines read; waiting for messages")
        return done

    def _champion(self) -> ScoringModel | None:
        return self._registry.champion()

    def _stop_between_batches(self, query: StreamingQuery) -> None:
        """Stop once the running micro-batch is complete: stopping inside a Python batch function breaks it."""
        deadline, batches = time.monotonic() + _STOP_SECONDS, self._batches
        while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
            if self._batches > batches:  # under a backlog the next one follows at once
                break
            time.sleep(_POLL_SECONDS / 10)
        query.stop()

    def _raise_failure(self, query: StreamingQuery) -> None:
        try:
            failure = query.exception()
        except StreamingQueryException as error:
            failure = error
        if failure is not None:
            raise StoreError(
                _first_line(str(failure)), where="stream", hint="mend the cause and start again; nothing is lost"
            )


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "the query failed")[:500]
