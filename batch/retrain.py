"""Retrain: train on the data up to now where drift or age asks for it, and promote what is better."""

from dataclasses import dataclass
from datetime import timedelta

from batch.drift import Drift, measured_drift
from batch.judgement import unseen_from
from batch.promotion import Promotion, promote
from batch.train import TrainResult, train
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry
from serverload.store.runs import job_run

NO_CHAMPION = "there is no champion"
OTHER_CLASSES = "the champion has learned other classes"
ASKED = "asked for"


@dataclass(frozen=True)
class Retrained:
    """Why a model was trained anew, and what became of it; `trained` is None where that was not needed, or too soon.

    `why`: what has drifted, empty for nothing; `drift` is None where there was no champion to hold the data against, or
    one that has learned other classes.
    """

    why: str
    drift: Drift | None
    trained: TrainResult | None = None
    promotion: Promotion | None = None

    def table(self) -> list[dict[str, object]]:
        """Rows for the command line: the checks of the promotion, else the test of the training, else the drift."""
        if self.promotion:
            return self.promotion.table()
        if self.trained:
            return self.trained.table()
        return self.drift.table() if self.drift else []


def retrain(
    tables: DeltaTables, settings: Settings, registry: ModelRegistry, progress: Progress, *, if_needed: bool
) -> Retrained:
    """Train by the settings, and promote where every check of the gate holds; a run beside those of its parts.

    `features` must be up to date. The newest `test_days` are the test, also of what is promoted. With `if_needed`
    nothing is trained unless there is no champion, it has learned other classes, something has drifted or its history
    is too old, nor while the newest version has learned nearly the same days. Raises InputError and ModelError as its
    parts do.
    """
    champion = registry.champion()
    usable = champion and champion.learned(settings.classes)
    drift = measured_drift(tables, settings, champion, progress) if champion and usable else None
    found = drift.reasons() if drift else OTHER_CLASSES if champion else NO_CHAMPION
    if if_needed and drift and (not found or _too_soon(settings, registry, drift)):
        return Retrained(found, drift)
    why = found or ASKED
    with job_run(registry.tracking, "retrain", {"if_needed": if_needed, "why": why}) as run:
        trained = train(tables, settings, registry, progress)
        run.note_data(rows=trained.rows, first=trained.first_target, last=trained.test_end)
        judged = promote(tables, settings, registry, progress, trained.model) if champion else None
        run.note_facts({"serverload.verdict": judged.verdict if judged else "first champion"})
    return Retrained(why, drift, trained, judged)


def _too_soon(settings: Settings, registry: ModelRegistry, drift: Drift) -> bool:
    """Whether a new version would learn hardly more than the newest one has."""
    would_end = drift.end.replace(hour=0) - timedelta(days=settings.model.test_days)
    newest = registry.versions()[0]
    return would_end - unseen_from(newest) < timedelta(days=settings.watch.retrain_days)
