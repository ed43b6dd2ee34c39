"""The streaming job: ingest runs as a query, and `advance` follows it from the main thread."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pyspark.errors import StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

from serverload.advance import Advance, Advanced, last_events
from serverload.advance.forecasts import issued_hour, issuing_version
from serverload.contracts.errors import BrokerError, ModelError, ServerloadError, StoreError
from serverload.contracts.instants import hour_start
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.ingest import BatchFacts, IngestBatch, ReadOffsets
from serverload.steps.event_kernel import LineCounts
from serverload.store.broker_setup import telling_line
from serverload.store.checkpoints import Checkpoint
from serverload.store.delta_tables import DeltaTables
from serverload.store.kafka_access import refusal
from serverload.store.locks import held_for_home
from serverload.store.model_registry import ModelRegistry, RegisteredModel
from streaming.champion import ChampionFollower
from streaming.metrics import StreamMetrics
from streaming.metrics_feed import metrics_told
from streaming.queries import started_query
from streaming.schedule import AdvanceSchedule
from streaming.sources import kafka_messages, kafka_options
from streaming.topic import Topic
from streaming.troubles import standing_troubles
from streaming.watch import ChampionWatch

_STOP_SECONDS = 120.0
_POLL_SECONDS = 0.2
_FULL = 0.9
"""A batch of so many of the messages that it may have leaves others waiting: Spark rounds down in each partition."""
_RETRY_SECONDS = (5.0, 10.0, 20.0, 30.0)
_KAFKA_ERRORS = "org.apache.kafka.common.errors."
_TRANSIENT = f"{_KAFKA_ERRORS}RetriableException"


@dataclass
class StreamResult:
    """What a stream did until it stopped: batches, lines, hours issued, and how things stood at its last advance."""

    batches: int
    counts: LineCounts
    lost_offsets: int
    issued: tuple[int, ...]
    advanced: Advanced


class Stream:
    """One run of the streaming job on a home."""

    def __init__(self, tables: DeltaTables, settings: Settings, registry: ModelRegistry, progress: Progress) -> None:
        self._tables, self._settings, self._registry, self._progress = tables, settings, registry, progress
        self._advance = Advance(tables, settings)
        troubles = standing_troubles(tables)
        self._broker_away, registry_away = ("broker_away" in troubles), ("registry_away" in troubles)
        self._champion = ChampionFollower(
            tables.spark, registry, settings.classes, self._issued_by, self._tell, away=registry_away
        )
        self._watch = ChampionWatch(tables, settings, registry, self._tell)
        self._checkpoint = Checkpoint(tables.spark, f"{tables.home}/checkpoints/{settings.stream.topic}")
        self._metrics = StreamMetrics()
        self._batches, self._counts, self._lost = 0, LineCounts(), 0
        self._issued: list[int] = []
        self._failure: ServerloadError | None = None

    def run(self, bootstrap: str, *, available_now: bool, stop: threading.Event) -> StreamResult:
        """Ingest and advance until `stop` is set, or, with `available_now`, until what is there has been read.

        A broker that goes away is waited for, unless `available_now`. Raises BrokerError where it refuses the login or
        the topic, SettingsError where the login's files cannot be read, StoreError where the query fails for another
        reason, ModelError where a configured registry does not answer at start.
        """
        options = kafka_options(bootstrap, self._settings.kafka)
        topic = Topic(self._tables.spark, self._settings.stream.topic, options)
        told = metrics_told(self._metrics, self._settings.metrics, self._tables.spark, self._tables.home)
        with held_for_home(self._tables.home, "stream", wait_seconds=1.0), told:
            self._checkpoint.claim(topic.id())
            self._tell_broker_back()
            self._advanced()
            schedule = AdvanceSchedule(
                self._settings.stream.forecast_interval_seconds,
                self._settings.time.allowed_lateness_minutes,
                last_events(self._tables),
                time.monotonic(),
            )
            failures = 0
            while True:
                batches, query = self._batches, self._query(topic, options, schedule, available_now)
                try:
                    self._follow(query, schedule, stop)
                finally:
                    self._stop_between_batches(query)
                failure, passing = self._failed(query, bootstrap)
                if failure is None:
                    break
                if not passing or available_now:
                    raise failure
                failures = 0 if self._batches > batches else failures
                if not self._waited(failure, failures, stop):
                    break
                failures += 1
            advanced = self._advanced()
            return StreamResult(self._batches, self._counts, self._lost, tuple(self._issued), advanced)

    def _query(
        self, topic: Topic, options: dict[str, str], schedule: AdvanceSchedule, available_now: bool
    ) -> StreamingQuery:
        return started_query(
            self._tables,
            kafka_messages(self._tables.spark, options, self._settings.stream),
            self._settings.ingest,
            self._settings.stream,
            self._checkpoint,
            available_now=available_now,
            same_topic=lambda: self._checkpoint.claim(topic.id()),
            earliest=topic.earliest_offsets,
            committed=partial(self._committed, schedule),
            failed=self._keep_failure,
        )

    def _committed(
        self, schedule: AdvanceSchedule, batch: IngestBatch, facts: BatchFacts, offsets: ReadOffsets
    ) -> None:
        self._batches += 1
        self._counts += facts.counts
        self._lost += offsets.lost
        behind = offsets.messages >= _FULL * self._settings.stream.max_messages_per_batch
        schedule.batch(facts.last_events, behind=behind)
        self._metrics.batch(facts.counts, offsets.lost)
        self._tell_broker_back()
        if offsets.lost:
            places = ", ".join(f"{place} from {first}" for place, first in offsets.first.items())
            what = f"{offsets.lost:,} messages were deleted by the topic's retention before they were read ({places})"
            self._tell("offsets_lost", None, f"batch {batch.batch_id}: {what}")

    def _tell_broker_back(self) -> None:
        if self._broker_away:
            self._broker_away = False
            self._tell("broker_back", None, "the broker answers again")

    def _keep_failure(self, error: ServerloadError) -> None:
        """Hold on to our own error: through Spark it comes back as a stack trace."""
        self._failure = error

    def _follow(self, query: StreamingQuery, schedule: AdvanceSchedule, stop: threading.Event) -> None:
        """Advance when it is due, with or without new batches: a first champion is work too.

        A registry that does not answer, or a home that another job works on, is told and tried again: ingest goes on.
        """
        while query.isActive and not stop.wait(_POLL_SECONDS):
            if not schedule.due(begun := time.monotonic()):
                continue
            schedule.advancing()
            try:
                self._advanced()
            except (StoreError, ModelError) as error:
                self._progress.say(f"forecasts wait: {error}")
            schedule.advanced((now := time.monotonic()) - begun, now)

    def _advanced(self) -> Advanced:
        self._progress.step("advance")
        begun = time.monotonic()
        done = self._advance.run(self._model, self._issuer)
        self._metrics.phase("advance", time.monotonic() - begun)
        version = self._champion.at_work
        self._metrics.advanced(done, (self._settings.model.name, version) if version else None)
        self._issued.extend(done.issued)
        for hour in done.issued:
            self._progress.say(f"issued the forecasts of {hour_start(hour):%Y-%m-%d %H:%M}Z")
        if done.closed_hour is not None:
            self._watch.follow(done.issued, done.closed_hour, self._champion.at_work)
        if done.waits_for_model:
            self._progress.say("no champion model yet: forecasts wait; run `serverload train`")
        self._progress.step(f"{self._batches} batches, {self._counts.read:,} lines read; waiting for messages")
        return done

    def _model(self) -> RegisteredModel | None:
        return self._champion.current()

    def _issuer(self, version: str) -> RegisteredModel | None:
        """The model that issued before; None where it can be loaded no more: what it said stays as it is."""
        model = self._registry.version(version)
        try:
            if model:
                model.pipeline()
        except ModelError as error:
            self._progress.say(f"late data changes no forecast of that model: {error}")
            return None
        return model

    def _issued_by(self) -> str | None:
        origin = issued_hour(self._tables)
        return None if origin is None else issuing_version(self._tables, origin)

    def _tell(self, event: str, model_version: str | None, detail: str) -> None:
        """Say what happened, and keep it in `stream_log`."""
        self._progress.say(detail)
        self._metrics.told(event)
        checkpoint = self._checkpoint.id if self._checkpoint.begun else None
        row = {"event_at": datetime.now(UTC), "checkpoint_id": checkpoint, "event": event}
        self._tables.append_rows("stream_log", [row | {"model_version": model_version, "detail": detail}])

    def _waited(self, failure: ServerloadError, failures: int, stop: threading.Event) -> bool:
        """Wait before the query is started again, longer each time; False when asked to stop meanwhile."""
        seconds = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
        if not self._broker_away:
            self._broker_away = True
            self._tell("broker_away", None, str(failure))
        self._progress.step(f"waiting for the broker, next try in {seconds:.0f} s")
        return not stop.wait(seconds)

    def _stop_between_batches(self, query: StreamingQuery) -> None:
        """Stop once the running micro-batch is complete: stopping inside a Python batch function breaks it."""
        deadline, batches = time.monotonic() + _STOP_SECONDS, self._batches
        while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
            if self._batches > batches:  # under a backlog the next one follows at once
                break
            time.sleep(_POLL_SECONDS / 10)
        query.stop()

    def _failed(self, query: StreamingQuery, bootstrap: str) -> tuple[ServerloadError | None, bool]:
        """What ended the query, if it was not we, and whether it may pass by itself."""
        own, self._failure = self._failure, None
        try:
            failure: Any = query.exception()
        except StreamingQueryException as error:
            failure = error
        if failure is None or own is not None:
            return own, isinstance(own, BrokerError)
        causes = _causes(query)
        from_kafka = "\n".join(str(cause) for cause in causes if _KAFKA_ERRORS in str(cause))
        if refused := refusal(bootstrap, from_kafka, self._settings.stream.topic):
            return refused, False
        told = telling_line(str(causes[-1].getMessage() or causes[-1].getClass().getName()))
        if any(_TRANSIENT in _class_names(cause) for cause in causes):
            hint = "see `serverload broker status`, or [stream] bootstrap"
            return BrokerError(told, where=f"broker at {bootstrap}", hint=hint), True
        return StoreError(told, where="stream", hint="mend the cause and start again; nothing is lost"), False


def _causes(query: Any) -> list[Any]:
    """The exception that ended a query, and what caused it, the root last."""
    causes = [query._jsq.exception().get()]
    while (cause := causes[-1].getCause()) is not None:
        causes.append(cause)
    return causes


def _class_names(thing: Any) -> list[str]:
    """The class of a Java object, and those above it."""
    names, above = list[str](), thing.getClass()
    while above is not None:
        names.append(str(above.getName()))
        above = above.getSuperclass()
    return names
