"""What the tests of deploy/ share: the files, and whether a command line of ours is one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
import yaml

from serverload.cli import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def filled_in(text: str, given: Mapping[str, str] | None = None) -> str:
    """A text of docker-compose.yml as compose reads it: `${NAME:-default}`, `${NAME}` and `$$`."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else (given or {}).get(found[1], found[2] or "")

    return re.sub(r"\$\$|\$\{(\w+)(?::-([^}]*))?\}", value, text)


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def commands() -> set[str]:
    """The commands that there are."""
    return set(typer.main.get_command(app).commands)


def parsed(words: list[str]) -> str:
    """The command that words mean, every option and argument read, and not run; an error where they mean none."""
    command, context = typer.main.get_command(app), None
    while True:
        context = command.make_context(words[0], list(words[1:]), parent=context)
        if not hasattr(command, "commands") or not context._protected_args + context.args:
            return context.command_path
        words = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, words)
        words = [str(name), *rest]
