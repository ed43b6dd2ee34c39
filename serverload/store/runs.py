"""Every job is an MLflow run: what it was given, what it did, how long it took, how it ended."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import serverload
from serverload.contracts.errors import ModelError
from serverload.contracts.instants import EPOCH
from serverload.store.registered_models import VERSION_TAG
from serverload.store.tracking import EXPERIMENT, NOT_THERE, Tracking, first_line

JOB_TAG = "serverload.job"
TRIAL = "trial"
"""The job of the runs that tuning makes below a training's."""

ROWS = "rows"
_PARENT_TAG = "mlflow.parentRunId"
_RANGE_TAG = "serverload.data_range"
_ERROR_TAG = "serverload.error"
_WHEEL_TAG = "serverload.wheel_version"
_COMMIT_TAG = "mlflow.source.git.commit"
_KEY_METRICS_TAG = "serverload.key_metrics"
_SHORT_ID = 8
_LONGEST_SEARCH = 10_000
_LONGEST_PARAMETER = 500
_LARGEST_BATCH = 1000


@dataclass(frozen=True)
class RunRow:
    """One run as `serverload runs` shows it; empty texts and None where a job has no such thing."""

    run: str
    job: str
    started: datetime
    duration_seconds: float | None
    status: str
    rows: int | None
    data_range: str
    model_version: str
    key_metrics: str


class JobRun:
    """A run under way: what a job notes on it is written at once, so a killed job keeps what it noted."""

    def __init__(self, tracking: Tracking, run_id: str) -> None:
        self.run_id = run_id
        self._tracking = tracking

    def note_data(self, *, rows: int, first: datetime | None = None, last: datetime | None = None) -> None:
        """Note how many rows the job read or wrote, and the time range of its input."""
        self.note_metrics({ROWS: float(rows)})
        if first is not None and last is not None:
            self.note_facts({_RANGE_TAG: f"{first:%Y-%m-%d %H:%M} .. {last:%Y-%m-%d %H:%M}"})

    def note_key_metrics(self, metrics: Mapping[str, float]) -> None:
        """Note the few numbers by name that `serverload runs` shows beside the run."""
        self.note_metrics(metrics)
        self.note_facts({_KEY_METRICS_TAG: ", ".join(f"{name} {number:.4g}" for name, number in metrics.items())})

    def note_as(self, *, rows: int | None, data_range: str, key_metrics: str) -> None:
        """Note what the run of another store had noted, as its RunRow tells it."""
        self.note_facts({_RANGE_TAG: data_range, _KEY_METRICS_TAG: key_metrics})
        if rows is not None:
            self.note_metrics({ROWS: float(rows)})

    def note_metrics(self, metrics: Mapping[str, float]) -> None:
        """Note numbers by name."""
        mlflow = self._tracking.mlflow()
        now = int(datetime.now(UTC).timestamp() * 1000)
        batch = [mlflow.entities.Metric(name, number, now, 0) for name, number in metrics.items()]
        for start in range(0, len(batch), _LARGEST_BATCH):
            self._write("log_batch", metrics=batch[start : start + _LARGEST_BATCH])

    def note_parameters(self, parameters: Mapping[str, object]) -> None:
        """Note what the job was given; a parameter cannot be noted again with another value."""
        mlflow = self._tracking.mlflow()
        batch = [mlflow.entities.Param(name, str(entry)[:_LONGEST_PARAMETER]) for name, entry in parameters.items()]
        self._write("log_batch", params=batch)

    def note_facts(self, facts: Mapping[str, str]) -> None:
        """Note texts by name (MLflow calls them tags)."""
        mlflow = self._tracking.mlflow()
        batch = [mlflow.entities.RunTag(name, text) for name, text in facts.items()]
        self._write("log_batch", tags=batch)

    def keep_file(self, name: str, write: Callable[[Path], object]) -> None:
        """Keep a file that `write` makes at the path it is given, such as a picture."""
        with TemporaryDirectory(prefix="serverload-") as folder:
            path = Path(folder) / name
            write(path)
            self._write("log_artifact", local_path=str(path))

    def close(self, status: str) -> None:
        """Note how the run ended, and when."""
        self._write("set_terminated", status=status)

    def _write(self, method: str, **given: object) -> None:
        client = self._tracking.client()
        with self._tracking.in_one_line("the run cannot be written"):
            getattr(client, method)(self.run_id, **given)


@contextmanager
def job_run(
    tracking: Tracking, job: str, parameters: Mapping[str, object] | None = None, parent: JobRun | None = None
) -> Iterator[JobRun]:
    """Record the block as a run: FINISHED, FAILED with the line of its error, or KILLED when it is interrupted.

    The block's own error goes on to the caller, even if it cannot be recorded. With a `parent` it is a run below that
    one, which `list_runs` shows only when asked for its job.
    """
    experiment, client = tracking.experiment_id(), tracking.client()
    with tracking.in_one_line("the run cannot be recorded"):
        below = {_PARENT_TAG: parent.run_id} if parent else {}
        made = client.create_run(experiment, run_name=job, tags=_origin(job) | below)
    run = JobRun(tracking, made.info.run_id)
    run.note_parameters(parameters or {})
    try:
        yield run
    except BaseException as error:
        with suppress(ModelError):
            run.note_facts({_ERROR_TAG: first_line(error)})
            run.close("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    run.close("FINISHED")


def list_runs(tracking: Tracking, *, job: str = "", limit: int = 20) -> list[RunRow]:
    """The newest runs first, of one job or of all but trials; empty where nothing has run yet."""
    of_job = f"= '{job}'" if job else f"!= '{TRIAL}'"
    return [_row(run) for run in _newest_first(tracking, f"tags.`{JOB_TAG}` {of_job}", limit)]


def run_row(tracking: Tracking, run_id: str) -> RunRow | None:
    """One run by its whole id; None where the store has no such run any more."""
    client = tracking.client()
    from mlflow.exceptions import MlflowException

    with tracking.in_one_line("the run cannot be read"):
        try:
            return _row(client.get_run(run_id))
        except MlflowException as error:
            if error.error_code in NOT_THERE:
                return None
            raise


def compare_runs(tracking: Tracking, ids: Sequence[str]) -> list[dict[str, str]]:
    """A row per parameter, fact and metric, a column per run (its short id) beside `name`; empty where it has none.

    `ids` may be shortened as long as they stay unique. Raises ModelError for an id that no run has.
    """
    runs = [_found(_newest_first(tracking, "", _LONGEST_SEARCH), wanted) for wanted in ids]
    columns = {run.info.run_id[:_SHORT_ID]: _entries(run) for run in runs}
    names = dict.fromkeys(name for entries in columns.values() for name in entries)
    return [{"name": name, **{run: entries.get(name, "") for run, entries in columns.items()}} for name in names]


def _origin(job: str) -> dict[str, str]:
    """Which job, and which code ran it: the wheel's version, and the commit if it runs from a working copy."""
    tags = {JOB_TAG: job, _WHEEL_TAG: serverload.__version__}
    folder = Path(serverload.__file__).parents[1]
    if (folder / ".git").exists():
        with suppress(OSError, subprocess.SubprocessError):
            command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
            asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
            tags[_COMMIT_TAG] = asked.stdout.strip()
    return tags


def _newest_first(tracking: Tracking, condition: str, limit: int) -> list[Any]:
    if not tracking.made:
        return []
    client = tracking.client()
    with tracking.in_one_line("the runs cannot be read"):
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        newest = ["attributes.start_time DESC"]
        return list(client.search_runs([experiment.experiment_id], condition, max_results=limit, order_by=newest))


def _found(runs: Sequence[Any], wanted: str) -> Any:
    matching = [run for run in runs if wanted and run.info.run_id.startswith(wanted)]
    if len(matching) != 1:
        what = "no run begins with" if not matching else f"{len(matching)} runs begin with"
        raise ModelError(f"{what} {wanted!r}", where="runs", hint="`serverload runs` lists them")
    return matching[0]


def _row(run: Any) -> RunRow:
    tags, rows = run.data.tags, run.data.metrics.get(ROWS)
    return RunRow(
        run=run.info.run_id[:_SHORT_ID],
        job=tags.get(JOB_TAG, ""),
        started=EPOCH + timedelta(milliseconds=run.info.start_time),
        duration_seconds=None if run.info.end_time is None else (run.info.end_time - run.info.start_time) / 1000,
        status=run.info.status,
        rows=None if rows is None else int(rows),
        data_range=tags.get(_RANGE_TAG, ""),
        model_version=tags.get(VERSION_TAG, ""),
        key_metrics=tags.get(_KEY_METRICS_TAG, ""),
    )


def _entries(run: Any) -> dict[str, str]:
    """All that a run noted, as texts: how it went, its facts, parameters and metrics."""
    row = _row(run)
    duration = "" if row.duration_seconds is None else f"{row.duration_seconds:.1f}"
    facts = {name: text for name, text in sorted(run.data.tags.items()) if not name.startswith("mlflow.")}
    metrics = {name: f"{number:.6g}" for name, number in sorted(run.data.metrics.items())}
    went = {"started": f"{row.started:%Y-%m-%d %H:%M:%S}", "duration_seconds": duration, "status": row.status}
    return {**went, **facts, **dict(sorted(run.data.params.items())), **metrics}
