"""Where a setting was given, and what is wrong with it, in one line that quotes no secret."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from serverload.contracts.errors import SettingsError

ENV_PREFIX = "SERVERLOAD_"
SECRETS_DIR = f"{ENV_PREFIX}SECRETS_DIR"
"""Variable that names a folder of secret files, each called like the variable that it stands for."""
_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "string_type": "a text",
    "datetime_from_date_parsing": "a time",
}


def settings_error(error: ValidationError, profile: str, model: type[BaseModel]) -> SettingsError:
    """The first thing that pydantic found wrong, with its place; what may be a secret is not quoted."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]] or ["settings"]
    got = f', got "{first["input"]}"' if _may_be_quoted(path, model) else ""
    if first["type"] == "extra_forbidden":
        what = "no such setting"
    elif first["type"] in _EXPECTED:
        what = f"expected {_EXPECTED[first['type']]}{got}"
    else:
        what = f"{first['msg'].removeprefix('Value error, ')}{got}"
    return SettingsError(what, where=place_of(profile, path), hint="see conf/base.toml")


def _may_be_quoted(path: list[str], model: type[BaseModel]) -> bool:
    """Tell whether this is one setting that is no secret; a whole section or a mistyped name may hold one."""
    found: Any = model
    for part in path:
        fields = getattr(found, "model_fields", {})
        found = fields[part].annotation if part in fields else None
    return found not in (None, SecretStr) and not hasattr(found, "model_fields")


def place_of(profile: str, path: Sequence[str]) -> str:
    """Where a setting was given: its variable, its secret file, else the profile."""
    *section, key = path
    variable = variable_of(path)
    if variable in os.environ:
        return f"environment {variable}"
    if (secret_file := Path(os.environ.get(SECRETS_DIR, ""), variable)).is_file():
        return str(secret_file)
    return f"{profile} [{'.'.join(section)}] {key}" if section else f"{profile} {key}"


def variable_of(path: Sequence[str]) -> str:
    """The environment variable of a setting, given as section and key."""
    return ENV_PREFIX + "__".join(path).upper()
