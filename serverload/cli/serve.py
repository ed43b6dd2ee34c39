"""The REST service: serve, and the keys of those who may ask."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from serverload.cli.options import CONFIG, Config, Format, Home, settings_of
from serverload.cli.output import checked_format, show_plain
from serverload.contracts.errors import SettingsError

serve_app = typer.Typer(help="Answer over HTTP: forecasts, plan, servers, scoring, models, quality. No Spark, no Java.")

KeysFile = Annotated[str | None, typer.Option("--keys-file", help="The file of keys, not that of the settings.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(serve_app, name="serve", invoke_without_command=True)


@serve_app.callback()
def serve(
    context: typer.Context,
    config: Config = CONFIG,
    home: Home = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes that answer.")] = None,
    keys_file: KeysFile = None,
) -> None:
    """Answer over HTTP until stopped: forecasts, plan, servers, scoring, models, quality. No Spark, no Java."""
    if context.invoked_subcommand:
        if (config, home, host, port, workers, keys_file) != (CONFIG, None, None, None, None, None):
            raise typer.BadParameter(f"options stand behind `serve {context.invoked_subcommand}`")
        return
    from serving.server import serve as serve_until_stopped

    given = {"host": host, "port": port, "workers": workers, "keys_file": keys_file}
    serve_until_stopped(settings_of(config, home, serve=given))


@serve_app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read or score; may be given again.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Make it anew; the old one ends at once.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="End it.")] = False,
    config: Config = CONFIG,
    keys_file: KeysFile = None,
) -> None:
    """Make a key and print it, once; a running service takes it, or its end, without a restart."""
    from serving.keys import READ, make_key, remove_key

    path = _file(config, keys_file)
    if remove:
        if scope or replace:
            raise typer.BadParameter("--remove goes with neither --scope nor --replace")
        remove_key(path, name)
        print(f"{name} is let in no more", file=sys.stderr)
        return
    made = make_key(path, name, scope or [READ], replace=replace)
    print(f"the key of {name} is shown this once; {path} keeps only its hash", file=sys.stderr)
    print(made)


@serve_app.command()
def keys(config: Config = CONFIG, keys_file: KeysFile = None, format: Format = "table") -> None:
    """List the keys: names and scopes."""
    from serving.keys import read_keys

    checked_format(format)
    found = read_keys(_file(config, keys_file))
    show_plain([{"name": each.name, "scopes": ", ".join(each.scopes)} for each in found], format)


def _file(config: str, given: str | None) -> Path:
    settings = settings_of(config, None, home_is_used=False, serve={"keys_file": given})
    if not settings.serve.keys_file:
        raise SettingsError(
            "no file of keys is set", where="[serve] keys_file", hint="set it, or give --keys-file FILE"
        )
    return Path(settings.serve.keys_file)
