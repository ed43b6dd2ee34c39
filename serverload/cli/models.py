"""Commands over the life of a model: promote, rollback, models."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverload.cli.console import progress
from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, open_tables, settings_of
from serverload.cli.output import checked_format, show_plain
from serverload.contracts.errors import ModelError
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from batch.promotion import Promotion
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry, RegisteredModel

models_app = typer.Typer(help="The registered models: list them, or move one to another registry.")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(promote)
    app.command()(rollback)
    app.add_typer(models_app, name="models", invoke_without_command=True)


def promote(
    config: Config = CONFIG,
    home: Home = None,
    version: Annotated[str, typer.Option("--version", help="This version, not the challenger.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Promote it whatever is found; that is recorded.")] = False,
    format: Format = "table",
) -> None:
    """Compare the challenger with the champion and naive forecasts; make it champion, or exit 1 with the reasons."""
    from batch.promotion import candidate
    from serverload.store.registered_models import CHAMPION

    settings = settings_of(config, home)
    checked_format(format)
    registry = open_registry(settings)
    model = candidate(registry, version)
    if CHAMPION in model.aliases:
        registry.promote(
            model.version, "completed after an interruption"
        )  # moves nothing where nothing is left to move
        print(f"{model.name} version {model.version} is champion already", file=sys.stderr)
        return
    with progress() as bar:
        done = run_promote(settings, open_tables(settings, "promote", bar), registry, bar, model, force)
    show_plain(done.table(), format)
    _tell(done)


def rollback(
    config: Config = CONFIG,
    home: Home = None,
    why: Annotated[str, typer.Option("--why", help="Kept with the version that is rolled back.")] = "by hand",
) -> None:
    """Make the champion before champion again; a running stream takes it between two batches."""
    champion = open_registry(settings_of(config, home)).rollback(why)
    print(f"{champion.name} version {champion.version} is champion again")


@models_app.callback()
def models(context: typer.Context, config: Config = CONFIG, home: Home = None, format: Format = "table") -> None:
    """List the versions, the newest first, with their aliases, data, scores and fate."""
    from dataclasses import asdict

    if context.invoked_subcommand:
        if (config, home, format) != (CONFIG, None, "table"):
            raise typer.BadParameter(f"options stand behind `models {context.invoked_subcommand}`")
        return
    from serverload.store.model_list import model_rows

    checked_format(format)
    registry = open_registry(settings_of(config, home))
    found = [asdict(row) for row in model_rows(registry)]
    if not found:
        print(f"no models yet in {registry.tracking.place}; `serverload train` registers one", file=sys.stderr)
    show_plain(found, format)


@models_app.command()
def download(
    version: Annotated[str, typer.Argument(help="As `serverload models` lists it.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder for its files.")],
    config: Config = CONFIG,
    home: Home = None,
) -> None:
    """Write a version into a folder, with its facts and a checksum of every file."""
    from serverload.store.model_bundle import download as download_model

    model = open_registry(settings_of(config, home)).required(version)
    manifest = download_model(model, out)
    print(f"{model.name} version {model.version} is in {out}; sha256 of its manifest: {manifest}")


@models_app.command()
def register(
    folder: Annotated[Path, typer.Argument(help="A folder that `models download` has written.")],
    config: Config = CONFIG,
    home: Home = None,
) -> None:
    """Register a downloaded version here, once its checksums hold and it scores."""
    from serverload.store.model_bundle import checked_facts
    from serverload.store.model_bundle import register as register_model

    settings = settings_of(config, home)
    checked_facts(folder)  # before Spark starts
    with progress() as bar:
        tables, registry = open_tables(settings, "register", bar), open_registry(settings)
        bar.step("register the model")
        model = register_model(folder, registry, tables.spark)
    print(f"{model.name}: {standing(model)}")


def standing(model: "RegisteredModel") -> str:
    """What a version just registered is, as a line tells it."""
    if "champion" in model.aliases:
        return f"version {model.version} is champion"
    return f"version {model.version} is challenger; `serverload promote` compares it with the champion"


def run_promote(
    settings: "Settings",
    tables: "DeltaTables",
    registry: "ModelRegistry",
    bar: Progress,
    model: "RegisteredModel",
    force: bool,
) -> "Promotion":
    """Bring the features up to date and judge a version."""
    from batch.features import update_features
    from batch.promotion import promote as promote_model

    update_features(tables, settings, bar)
    return promote_model(tables, settings, registry, bar, model, force=force)


def _tell(done: "Promotion") -> None:
    """Say what became of it; refused, the line is that of an error."""
    from batch.promotion import REFUSED

    if done.verdict == REFUSED:
        hint = "--force promotes it all the same"
        raise ModelError(f"version {done.version} is not promoted: {done.reasons}", hint=hint)
    before = f", version {done.champion} is previous" if done.champion else ""
    although = f", although {done.reasons}" if done.reasons else ""
    print(f"version {done.version} is champion{before}{although}", file=sys.stderr)
