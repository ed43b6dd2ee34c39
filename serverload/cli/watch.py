"""Commands that watch the forecasts in operation: quality, drift."""

import sys
from typing import Annotated

import typer

from serverload.cli.console import progress
from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, open_tables, settings_of
from serverload.cli.output import checked_format, show, show_plain
from serverload.contracts.errors import InputError, ModelError

_QUALITY_VIEWS = "horizon, group, day, class or model"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(quality)
    app.command()(drift)


def quality(
    config: Config = CONFIG,
    home: Home = None,
    days: Annotated[int, typer.Option("--days", min=1, help="The newest days of matured forecasts.")] = 14,
    by: Annotated[str, typer.Option("--by", help=f"{_QUALITY_VIEWS}; by model, shadows are beside.")] = "horizon",
    format: Format = "table",
) -> None:
    """Tell how right the forecasts of the last days were. No Spark."""
    from serverload.store.quality import VIEWS
    from serverload.store.quality import quality as scored

    checked_format(format)
    if by not in VIEWS:
        raise InputError(f"{by!r} is none of {_QUALITY_VIEWS}", where="--by")
    show(scored(settings_of(config, home).home, days=days, by=by), format)


def drift(config: Config = CONFIG, home: Home = None, format: Format = "table") -> None:
    """Hold the newest days against those that the champion has learned from: inputs, classes, scores, age."""
    from batch.drift import measured_drift
    from batch.features import update_features

    settings = settings_of(config, home)
    checked_format(format)
    registry = open_registry(settings)
    champion = registry.champion()
    if champion is None:
        raise ModelError("there is no champion", where=registry.name, hint="run `serverload train`")
    champion.require_classes(settings.classes)
    with progress() as bar:
        tables = open_tables(settings, "drift", bar)
        update_features(tables, settings, bar)
        found = measured_drift(tables, settings, champion, bar)
    learned = f"version {found.version}, which has learned from the days before {found.learned_until:%Y-%m-%d}"
    print(
        f"targets from {found.start:%Y-%m-%d %H:%M}Z to {found.end:%Y-%m-%d %H:%M}Z beside {learned}", file=sys.stderr
    )
    show_plain(found.table(), format)
    reasons = found.reasons()
    print(
        f"drifted: {reasons}; `serverload retrain` trains anew" if reasons else "nothing has drifted", file=sys.stderr
    )
