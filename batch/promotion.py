"""Promote: a challenger against the champion and the baselines, on days that neither has seen; one alias moves."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batch.judgement import judge
from batch.promotion_gate import Check, Judgement, Standing, checks_of, shortfalls
from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import ModelError, ServerloadError
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.model.forecasting import check_scores
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry, RegisteredModel
from serverload.store.registered_models import CHALLENGER, VERSION_TAG
from serverload.store.runs import JobRun, job_run

PROMOTED, FORCED, REFUSED = "promoted", "forced", "refused"
_VERDICT_TAG = "serverload.verdict"
_REASONS_TAG = "serverload.reasons"
_METRICS = ("rps", "log_loss", "macro_f1", "accuracy")
_ENDS = {"": "gain", "_low": "low", "_high": "high"}


@dataclass(frozen=True)
class Promotion:
    """What became of a challenger: the verdict (PROMOTED, FORCED or REFUSED), what was checked and what did not hold.

    `champion` is the version that was champion before, None where there was none.
    """

    version: str
    champion: str | None
    verdict: str
    checks: tuple[Check, ...]
    reasons: str
    run_id: str

    def table(self) -> list[dict[str, object]]:
        """A plain row per check, for the command line."""
        return [check.row() for check in self.checks]


def candidate(registry: ModelRegistry, version: str = "") -> RegisteredModel:
    """The version asked for, or else the challenger. Raises ModelError where there is none."""
    found = registry.required(version) if version else registry.alias(CHALLENGER)
    if found is None:
        hint = "`serverload train` registers one; or name a --version of `serverload models`"
        raise ModelError("there is no challenger", where=registry.name, hint=hint)
    return found


def promote(
    tables: DeltaTables,
    settings: Settings,
    registry: ModelRegistry,
    progress: Progress,
    challenger: RegisteredModel,
    *,
    force: bool = False,
) -> Promotion:
    """Judge a version beside the champion and make it champion where every check holds; recorded as an MLflow run.

    Refused, nothing moves. With `force` it is promoted whatever was found, also where nothing could be compared; only
    a version that does not score, or has learned other classes than the settings have, is an error (ModelError) even
    then. A champion that has learned other classes is no rival. `features` must be up to date, and the version another
    one than the champion.
    """
    champion = registry.champion()
    before = champion.version if champion else None
    rival = champion if champion and champion.learned(settings.classes) else None
    given = {"version": challenger.version, "champion": before or "", "force": force}
    with job_run(registry.tracking, "promote", given | settings.promotion.model_dump()) as run:
        progress.step("try the model")
        challenger.require_classes(settings.classes)
        check_scores(tables.spark, challenger.pipeline())
        try:
            found = judge(tables, settings, challenger, rival, progress)
            checks = checks_of(found, settings.promotion)
            reasons = shortfalls(checks)
            _note(run, found, checks)
        except ServerloadError as error:
            if not force:
                raise
            checks, reasons = (), f"nothing could be compared: {error}"
        verdict = PROMOTED if not reasons else FORCED if force else REFUSED
        run.note_facts({VERSION_TAG: challenger.version, _VERDICT_TAG: verdict, _REASONS_TAG: reasons})
        if verdict != REFUSED:
            why = f"forced, although {reasons}" if reasons else "passed every check"
            registry.promote(challenger.version, f"{why} (run {run.run_id})")
    return Promotion(challenger.version, before, verdict, checks, reasons, run.run_id)


def _note(run: JobRun, found: Judgement, checks: Sequence[Check]) -> None:
    """The checks as a file, the scores as metrics."""
    run.note_data(rows=found.rows, first=found.start, last=found.end)
    rows = [check.row() for check in checks]
    run.keep_file("checks.json", lambda path: path.write_text(json.dumps(rows, indent=1), encoding="utf-8"))
    sides = {"challenger": found.challenger, "champion": found.champion}
    told = {role: side for role, side in sides.items() if side}
    run.note_metrics({name: number for role, side in told.items() for name, number in _metrics(role, side)})
    if found.over_champion:
        run.note_metrics({f"rps_gain{end}": getattr(found.over_champion, of) for end, of in _ENDS.items()})
    if told:
        run.note_key_metrics({f"{role}_rps": side.scores.rps for role, side in told.items()})


def _metrics(role: str, side: Standing) -> Iterator[tuple[str, float]]:
    """The numbers of one model by their MLflow names, without those that could not be told."""
    for name in _METRICS:
        yield f"{role}_{name}", float(getattr(side.scores, name))
    for label, recall in zip(CLASSES, side.scores.recall, strict=True):
        if not math.isnan(recall):
            yield f"{role}_recall_{label}", recall
    for baseline, gain in side.over_baselines.items():
        for end, of in _ENDS.items():
            yield f"{role}_rps_gain{end}_over_{baseline.replace(' ', '_')}", getattr(gain, of)
    for horizon, rps in side.rps_by_horizon.items():
        yield f"{role}_h{horizon}_rps", rps
