"""The command that recounts: verify."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from serverload.cli.console import progress
from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, open_tables, opener_of, settings_of
from serverload.cli.output import checked_format, show_plain
from serverload.cli.topic import bootstrap_if_any
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry
    from serverload.verify.checks import Check

PARTS = (
    *("history", "live"),
    *("load_windows", "hourly_load", "servers", "features", "forecasts", "forecast_outcomes"),
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    config: Config = CONFIG,
    home: Home = None,
    forecasts: Annotated[int, typer.Option("--forecasts", min=0, help="Issued hours to score again.")] = 6,
    only: Annotated[list[str] | None, typer.Option("--only", help=f"One of {', '.join(PARTS)}; repeatable.")] = None,
    format: Format = "table",
) -> None:
    """Recount everything from its source and tell what agrees; exit 1 where something differs."""
    settings = settings_of(config, home)
    checked_format(format)
    _check_parts(only or ())
    with progress() as bar:
        tables = open_tables(settings, "verify", bar)
        found = list(run_verify(settings, tables, open_registry(settings), bar, forecasts, only or PARTS))
    show_plain([check.row() for check in found], format)
    unchecked = sum(bool(check.unchecked) for check in found)
    if unchecked:
        print(f"{unchecked} of {len(found)} checks are not made, or not of everything; see `detail`", file=sys.stderr)
    if any(check.differing for check in found):
        raise typer.Exit(1)


def run_verify(
    settings: "Settings",
    tables: "DeltaTables",
    registry: "ModelRegistry",
    bar: Progress,
    forecasts: int,
    only: Iterable[str] = PARTS,
) -> Iterator["Check"]:
    """The checks of each part asked for, on the tables as they stand together now."""
    from batch.verify import features_check, history_checks
    from serverload.store.home_snapshot import HomeSnapshot
    from serverload.verify.accounting import accounting_checks
    from serverload.verify.forecasts import forecast_checks, outcome_checks
    from serverload.verify.hours import hours_check, servers_check
    from streaming.sources import kafka_options
    from streaming.verify import live_checks

    pinned, bootstrap = HomeSnapshot(tables), bootstrap_if_any(settings)
    options = kafka_options(bootstrap, settings.kafka) if bootstrap else None
    checks: dict[str, Callable[[], Iterable[Check]]] = {
        "load_windows": lambda: accounting_checks(pinned),
        "history": lambda: history_checks(pinned, settings.ingest, bar, opener_of(settings)),
        "live": lambda: live_checks(pinned, settings.ingest, options, bar),
        "hourly_load": lambda: [hours_check(pinned)],
        "servers": lambda: [servers_check(pinned)],
        "features": lambda: [features_check(pinned, settings)],
        "forecasts": lambda: forecast_checks(pinned, settings, registry.version, forecasts),
        "forecast_outcomes": lambda: outcome_checks(pinned, settings),
    }
    for part, of_part in checks.items():
        if part in only:
            bar.step(f"verify {part}")
            yield from of_part()


def _check_parts(only: Iterable[str]) -> None:
    for part in only:
        if part not in PARTS:
            raise InputError(f"{part!r} is none of {', '.join(PARTS)}", where="--only")
