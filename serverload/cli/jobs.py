"""Commands over the history: generate, backfill."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from serverload.cli.console import progress
from serverload.cli.options import CONFIG, Config, Home, open_registry, open_tables, opener_of, settings_of
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from batch.backfill import BackfillResult
    from producers.synthetic import Noise
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry

_NOISES = ("low", "medium", "high")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(generate)
    app.command()(backfill)


def generate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the CSV files.")],
    servers: Annotated[int, typer.Option("--servers")] = 30,
    days: Annotated[int, typer.Option("--days")] = 90,
    start: Annotated[datetime, typer.Option("--start", formats=["%Y-%m-%d"])] = datetime(2016, 3, 1),
    seed: Annotated[int, typer.Option("--seed")] = 42,
    dirty: Annotated[float, typer.Option("--dirty", help="Share of dirty lines, 0 to 1.")] = 0.0,
    noise: Annotated[str, typer.Option("--noise", help="low, medium or high.")] = "medium",
) -> None:
    """Write a synthetic session history as headerless 16-field CSV, with its truth beside it."""
    from producers.synthetic import generate_history

    if noise not in _NOISES:
        raise InputError(f"{noise!r} is none of {', '.join(_NOISES)}", where="--noise")
    with progress() as bar:
        made = generate_history(
            out,
            servers=servers,
            days=days,
            start=_date(start),
            seed=seed,
            dirty=dirty,
            noise=cast("Noise", noise),
            progress=bar,
        )
    print(f"{made.lines:,} lines in {len(made.files)} files ({made.bytes:,} bytes) under {made.out}")
    print(f"true class probabilities: {made.truth}; dirt put in: {made.dirt}")


def backfill(
    paths: Annotated[list[str], typer.Argument(help="Folders, globs or files (.csv, .csv.gz).")],
    config: Config = CONFIG,
    home: Home = None,
    force: Annotated[bool, typer.Option("--force", help="Go on although most lines are refused.")] = False,
) -> None:
    """Ingest new files of the history and bring all tables up to `features` up to date."""
    settings = settings_of(config, home)
    _check_paths(settings, paths)
    with progress() as bar:
        result = run_backfill(
            settings, open_tables(settings, "backfill", bar), open_registry(settings), paths, bar, force
        )
    tell_backfill(result)


def run_backfill(
    settings: "Settings", tables: "DeltaTables", registry: "ModelRegistry", paths: list[str], bar: Progress, force: bool
) -> "BackfillResult":
    """Backfill, hours, servers and features, as one recorded run."""
    from batch.backfill import backfill as backfill_files
    from batch.features import update_features
    from serverload.advance import Advance
    from serverload.store.runs import job_run

    opener = opener_of(settings)
    with job_run(registry.tracking, "backfill", {"paths": " ".join(paths), "force": force}) as run:
        result = backfill_files(tables, settings.ingest, paths, bar, force=force, opener=opener)
        bar.step("hours and servers")
        Advance(tables, settings).run()
        update_features(tables, settings, bar)
        run.note_data(rows=result.counts.read, first=result.counts.first_event, last=result.counts.last_event)
        run.note_metrics(
            {"accepted": result.counts.accepted, "rejected": result.counts.rejected, "bytes": result.bytes}
        )
    return result


def tell_backfill(result: "BackfillResult") -> None:
    """Print what a backfill did."""
    counts = result.counts
    print(
        f"{result.files} files ({result.bytes:,} bytes) ingested in {result.batches} batches; "
        f"{result.known_files} known before"
    )
    print(
        f"{counts.read:,} lines read = {counts.accepted:,} accepted + {counts.rejected:,} rejected + "
        f"{counts.skipped:,} skipped"
    )
    for reason, lines in sorted(counts.rejected_by_reason.items(), key=lambda entry: -entry[1]):
        print(f"  rejected {lines:,}: {reason}")
    for field, lines in sorted(counts.repaired_by_field.items(), key=lambda entry: -entry[1]):
        print(f"  repaired {lines:,}: {field}")


def _check_paths(settings: "Settings", paths: list[str]) -> None:
    """Tell a wrong path before Spark starts."""
    from batch.history_files import history_files

    history_files(paths, opener_of(settings))


def _date(moment: datetime) -> date:
    return moment.date()
