"""Which jobs can be run: what of the machine each needs, and what has to have been done before it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from serverload.contracts.errors import ServerloadError
from serverload.contracts.homes import is_local
from serverload.contracts.settings import Settings
from serverload.store.broker import bootstrap_for
from serverload.store.doctor import Check

_PLAIN = ("python", "packages", "home")
_SPARK = (*_PLAIN, "java", "spark home", "spark jars", "disk", "temporary files")
_CLOUD = "pip install 'serverload[cloud]'"


@dataclass(frozen=True)
class Job:
    """A job: the checks that have to be well, and the steps that come before it."""

    name: str
    needs: tuple[str, ...]
    after: tuple[str, ...] = ()


JOBS = (
    Job("generate", ("python", "packages")),
    Job("backfill, daily", _SPARK),
    Job("backfill of s3://, abfss://", _SPARK, ("file stores",)),
    Job("train, backtest, retrain", _SPARK, ("history",)),
    Job("broker", (*_PLAIN, "java", "broker jars", "broker port")),
    Job("replay to Kafka", (*_PLAIN, "broker"), ("topic",)),
    Job("replay to Event Hubs", _PLAIN, ("event hub",)),
    Job("stream", (*_SPARK, "broker"), ("topic",)),
    Job("forecasts", _PLAIN, ("history", "model")),
    Job("serve", _PLAIN, ("model",)),
    Job("compact, verify", _SPARK, ("history",)),
)


@dataclass(frozen=True)
class Step:
    """Something that is there or not: what is missing without it, and the command that mends it."""

    there: Callable[[], bool]
    missing: str
    command: str


def job_checks(checks: Sequence[Check], settings: Settings, has_champion: Callable[[], bool]) -> list[Check]:
    """A line a job, after the `checks` of the machine: fit, unfit, or waiting for a step before it.

    Unfit (not ok) is what the machine lacks; a job that waits is ok, and has its command as advice. Never raises.
    """
    of_machine = {check.name: check for check in checks}
    steps = _steps(settings, has_champion)
    missing = {name for name in sorted({name for job in JOBS for name in job.after}) if not _is_there(steps[name])}
    return [_looked_at(job, of_machine, steps, missing) for job in JOBS]


def _looked_at(job: Job, of_machine: Mapping[str, Check], steps: Mapping[str, Step], missing: Collection[str]) -> Check:
    lacks = [of_machine[name] for name in job.needs if not of_machine[name].ok]
    waits = [steps[name] for name in job.after if name in missing]
    advice = "; ".join([check.advice for check in lacks] or [step.command for step in waits])
    if lacks:
        return Check(f"job {job.name}", False, f"lacks {', '.join(check.name for check in lacks)}", advice)
    found = f"waits: {', '.join(step.missing for step in waits)}" if waits else "fit"
    return Check(f"job {job.name}", True, found, advice)


def _is_there(step: Step) -> bool:
    try:
        return step.there()
    except (ServerloadError, OSError):  # the job itself will say what is wrong
        return False


def _steps(settings: Settings, has_champion: Callable[[], bool]) -> dict[str, Step]:
    home, hubs = settings.home, settings.eventhubs
    features = Path(home, "tables", "features", "_delta_log")
    by_name_alone = bool(hubs.namespace) and not hubs.connection_string.get_secret_value()
    if by_name_alone:
        event_hub = Step(lambda: _has("azure.identity"), "azure-identity is not installed", _CLOUD)
    else:
        event_hub = Step(
            lambda: hubs.given,
            "no connection string and no namespace",
            "set SERVERLOAD_EVENTHUBS__CONNECTION_STRING, or [eventhubs] namespace",
        )
    return {
        "file stores": Step(lambda: _has("s3fs") and _has("adlfs"), "s3fs and adlfs are not installed", _CLOUD),
        "history": Step(
            lambda: not is_local(home) or features.is_dir(), "no history in this home", "serverload backfill PATH..."
        ),
        "topic": Step(
            lambda: bool(settings.stream.bootstrap or bootstrap_for(home)),
            "no broker",
            "serverload broker start, or set [stream] bootstrap",
        ),
        "event hub": event_hub,
        "model": Step(has_champion, "no model", "serverload train"),
    }


def _has(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package's parent
        return False
