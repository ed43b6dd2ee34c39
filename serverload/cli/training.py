"""Commands that make models: train, retrain."""

import sys
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from serverload.cli.console import progress
from serverload.cli.models import standing
from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, open_tables, settings_of
from serverload.cli.output import checked_format, show_plain
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from batch.retrain import Retrained
    from batch.train import TrainResult
    from batch.tuning import TuningBounds
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry

_RANGE = typer.Option("--range", help="full, one-month, or FROM:TO as 2016-03-01:2016-06-01.")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(retrain)


def train(
    config: Config = CONFIG,
    home: Home = None,
    chosen_range: Annotated[str, _RANGE] = "full",
    feature_set: Annotated[str | None, typer.Option("--feature-set", help="full, or article (48 h only).")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Look for the forest's settings first.")] = False,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Settings to try with --tune.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Begin no more fits after these.")] = None,
    format: Format = "table",
) -> None:
    """Fit the forest, test it on the newest days, register it: the first one is champion, later ones challenge it."""
    from batch.train_range import checked_range

    settings = settings_of(config, home, model={"feature_set": feature_set})
    checked_format(format)
    checked_range(chosen_range)
    if not tune and (trials, minutes) != (None, None):
        raise typer.BadParameter("--trials and --minutes belong to --tune")
    with progress() as bar:
        tables = open_tables(settings, "train", bar)
        bounds = _bounds(trials, minutes) if tune else None
        result = run_train(settings, tables, open_registry(settings), bar, chosen_range, bounds)
    tell_train(result, sys.stdout if format == "table" else sys.stderr)
    show_plain(result.table(), format)


def retrain(
    config: Config = CONFIG,
    home: Home = None,
    if_needed: Annotated[bool, typer.Option("--if-needed", help="Only where drift or age asks for it.")] = False,
    format: Format = "table",
) -> None:
    """Train as `train` does with the settings; make the new version champion if it is better on the newest days."""
    settings = settings_of(config, home)
    checked_format(format)
    with progress() as bar:
        done = run_retrain(settings, open_tables(settings, "retrain", bar), open_registry(settings), bar, if_needed)
    _tell_retrain(done)
    show_plain(done.table(), format)


def run_train(
    settings: "Settings",
    tables: "DeltaTables",
    registry: "ModelRegistry",
    bar: Progress,
    chosen_range: str = "full",
    tuning: "TuningBounds | None" = None,
) -> "TrainResult":
    """Bring the features up to date and train."""
    from batch.features import update_features
    from batch.train import train as train_forest

    update_features(tables, settings, bar)
    return train_forest(tables, settings, registry, bar, chosen_range=chosen_range, tuning=tuning)


def run_retrain(
    settings: "Settings", tables: "DeltaTables", registry: "ModelRegistry", bar: Progress, if_needed: bool
) -> "Retrained":
    """Bring the features up to date and train, judge and promote where that is needed."""
    from batch.features import update_features
    from batch.retrain import retrain as retrain_forest

    update_features(tables, settings, bar)
    return retrain_forest(tables, settings, registry, bar, if_needed=if_needed)


def tell_train(result: "TrainResult", to: TextIO | None = None) -> None:
    """Print what a training made; rows for another program on stdout must stand alone there."""
    print(
        f"{result.model.name} version {result.model.version}: {result.fitted_rows:,} rows of "
        f"{result.servers} servers from {result.first_target:%Y-%m-%d}, tested from {result.test_start:%Y-%m-%d} "
        f"to {result.test_end:%Y-%m-%d %H:%M}Z",
        file=to,
    )
    print(standing(result.model), file=to)


def retrained_line(done: "Retrained") -> str:
    """Why it was trained, and what became of it, in one line."""
    if not done.trained:
        return (
            f"{done.why}; the newest version has learned nearly the same days: not trained anew yet"
            if done.why
            else ("nothing has drifted: not trained anew")
        )
    return "; ".join(filter(None, (f"trained anew: {done.why}", standing(done.trained.model), _fate(done))))


def _tell_retrain(done: "Retrained") -> None:
    """Say why it was trained and what became of it."""
    if not done.trained:
        print(retrained_line(done), file=sys.stderr)
        return
    print(f"trained anew: {done.why}", file=sys.stderr)
    tell_train(done.trained, sys.stderr)
    if done.promotion:
        print(_fate(done), file=sys.stderr)


def _fate(done: "Retrained") -> str:
    """What the gate said of it; empty where there was no champion to hold it against."""
    if done.promotion is None:
        return ""
    fate = done.promotion.verdict + (f": {done.promotion.reasons}" if done.promotion.reasons else "")
    return f"version {done.promotion.version} beside version {done.promotion.champion}: {fate}"


def _bounds(trials: int | None, minutes: float | None) -> "TuningBounds":
    from batch.tuning import TuningBounds

    given = {"trials": trials, "minutes": minutes}
    return TuningBounds(**{name: entry for name, entry in given.items() if entry is not None})  # type: ignore[arg-type]
