"""The command for a scheduler: new files, features, outcomes, a new model if needed, upkeep; once a day."""

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from serverload.cli.console import progress
from serverload.cli.failures import line_of
from serverload.cli.jobs import run_backfill
from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, open_tables, settings_of
from serverload.cli.output import checked_format, show_plain
from serverload.cli.spark_log import debugging
from serverload.cli.training import retrained_line, run_retrain
from serverload.cli.upkeep import run_compact
from serverload.contracts.errors import ServerloadError
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from batch.daily import Step, StepDone
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry
    from serverload.store.runs import JobRun

_LOCK = "daily"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(daily)


def daily(
    paths: Annotated[list[str] | None, typer.Argument(help="Of the history; none: those of [daily] paths.")] = None,
    config: Config = CONFIG,
    home: Home = None,
    format: Format = "table",
) -> None:
    """Backfill new files, bring features and outcomes up to date, retrain if needed, compact; a stream may run.

    Run it again as often as you like: what is done is not done twice. Exit 1 if a step failed; the others are done.
    """
    from serverload.store.locks import require_free

    settings = settings_of(config, home)
    checked_format(format)
    require_free(settings.home, _LOCK)
    done: list[StepDone] = []
    try:
        with progress() as bar:
            tables = open_tables(settings, "daily", bar)
            run_daily(
                settings, tables, open_registry(settings), paths or sorted(settings.daily.paths), bar, done.append
            )
    finally:
        show_plain([asdict(step) for step in done], format)


def run_daily(
    settings: "Settings",
    tables: "DeltaTables",
    registry: "ModelRegistry",
    paths: Sequence[str],
    bar: Progress,
    tell: "Callable[[StepDone], object]",
) -> None:
    """The steps of a day as one recorded run, beside those of its parts; `tell` hears of each as it ends.

    Raises ServerloadError at the end where a step failed, at once where another `daily` runs.
    """
    from batch.daily import shortfall, steps_done
    from serverload.store.locks import held_for_home
    from serverload.store.runs import job_run

    with (
        held_for_home(settings.home, _LOCK, wait_seconds=1.0),
        job_run(registry.tracking, "daily", {"paths": " ".join(paths)}) as run,
    ):
        done: list[StepDone] = []
        for step in steps_done(_steps(settings, tables, registry, list(paths), bar, run), _line_of):
            done.append(step)
            tell(step)
        run.note_metrics({f"{step.step}_seconds": step.seconds for step in done})
        run.note_facts({f"serverload.{step.step}": f"{step.result}: {step.what}" for step in done})
        if failed := shortfall(done):
            raise ServerloadError(failed, where="daily", hint="mend that and run it again: what is done stays done")


def _steps(
    settings: "Settings",
    tables: "DeltaTables",
    registry: "ModelRegistry",
    paths: list[str],
    bar: Progress,
    run: "JobRun",
) -> "tuple[Step, ...]":
    from batch.daily import Step

    no_paths = "" if paths else "no paths given, and none in [daily] paths"
    return (
        Step("backfill", partial(_backfill, settings, tables, registry, paths, bar, run), without=no_paths),
        Step("features", partial(_features, settings, tables, bar)),
        Step("outcomes", partial(_outcomes, settings, tables, registry)),
        Step(
            "retrain",
            lambda: retrained_line(run_retrain(settings, tables, registry, bar, if_needed=True)),
            needs=("features",),
        ),
        Step("compact", partial(_compact, settings, tables, registry, bar)),
    )


def _backfill(
    settings: "Settings",
    tables: "DeltaTables",
    registry: "ModelRegistry",
    paths: list[str],
    bar: Progress,
    run: "JobRun",
) -> str:
    done = run_backfill(settings, tables, registry, paths, bar, force=False)
    counts = done.counts
    run.note_data(rows=counts.read, first=counts.first_event, last=counts.last_event)
    return (
        f"{done.files} new files, {done.known_files} known; {counts.read:,} lines read = {counts.accepted:,} accepted "
        f"+ {counts.rejected:,} rejected + {counts.skipped:,} skipped"
    )


def _features(settings: "Settings", tables: "DeltaTables", bar: Progress) -> str:
    from batch.features import update_features
    from serverload.advance import Advance

    bar.step("hours and servers")
    Advance(tables, settings).run()  # a stream may have left hours behind that nobody has brought up to date
    return "rebuilt where hours had changed" if update_features(tables, settings, bar) else "up to date"


def _outcomes(settings: "Settings", tables: "DeltaTables", registry: "ModelRegistry") -> str:
    """Issue and mature what no stream has; a champion that cannot score fails here before anything is issued."""
    from serverload.advance import Advance
    from streaming.champion import checked

    champion = registry.champion()
    model = champion and checked(tables.spark, champion, settings.classes)
    done = Advance(tables, settings).run(lambda: model, registry.version)
    if done.closed_hour is None:
        return "no hour has closed yet"
    return "forecasts wait for a model" if done.waits_for_model else f"{len(done.issued)} hours issued here"


def _compact(settings: "Settings", tables: "DeltaTables", registry: "ModelRegistry", bar: Progress) -> str:
    done = run_compact(settings, tables, registry, bar)
    files = [sum(getattr(table, when).files for table in done) for when in ("before", "after")]
    size = sum(table.after.disk_bytes for table in done)
    return f"{files[0]} files are {files[1]} now, {size:,} bytes on disk"


def _line_of(error: Exception) -> str:
    if debugging():
        traceback.print_exception(error, file=sys.stderr)
    return line_of(error)
