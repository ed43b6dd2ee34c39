"""Settings: types and checks. Defaults and meanings stand in conf/base.toml and nowhere else."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from serverload.contracts.errors import SettingsError
from serverload.contracts.setting_types import Horizons, Names, Pattern, UtcTime

DEFAULT_PROFILE = "local"
ENV_PREFIX = "SERVERLOAD_"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestSettings(_Section):
    """Which lines are accepted, and how files are cut into work."""

    max_ahead_minutes: int = Field(ge=0)
    max_reject_share: float = Field(ge=0, le=1)
    earliest: UtcTime
    latest: UtcTime
    only_servers: Names
    cutover: UtcTime
    server_pattern: Pattern
    batch_bytes: int = Field(ge=1)
    range_bytes: int = Field(ge=1024)


class TimeSettings(_Section):
    """When hours close and servers retire."""

    allowed_lateness_minutes: int = Field(ge=0)
    retire_after_hours: int = Field(ge=1)


class ClassSettings(_Section):
    """Where low ends and high begins, in load."""

    low_max: float
    medium_max: float


class StreamSettings(_Section):
    """The live source and its pace."""

    bootstrap: str
    topic: str = Field(min_length=1)
    starting_offsets: Literal["earliest", "latest"]
    max_messages_per_batch: int = Field(ge=1)
    trigger_seconds: float = Field(ge=0)
    forecast_interval_seconds: float = Field(ge=0)


class ForecastSettings(_Section):
    """What is issued when an hour closes."""

    horizons: Horizons
    catch_up_hours: int = Field(ge=1)


class ModelSettings(_Section):
    """The forest and its registry."""

    name: str = Field(min_length=1)
    tracking_uri: str
    feature_set: Literal["full", "article"]
    training_horizons: Horizons
    test_days: int = Field(ge=1)
    trees: int = Field(ge=1)
    depth: int = Field(ge=1, le=30)
    seed: int
    max_training_rows: int = Field(ge=1000)


class SparkSettings(_Section):
    """The Spark session, where spark-submit has not decided already."""

    master: str
    driver_memory: str
    settings: dict[str, str]


class BrokerSettings(_Section):
    """The embedded broker."""

    port: int = Field(ge=0, le=65535)


class Settings(BaseSettings):
    """All settings, frozen and checked once at the door; steps get values, never this object."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    home: str = Field(min_length=1)
    ingest: IngestSettings
    time: TimeSettings
    classes: ClassSettings
    stream: StreamSettings
    forecast: ForecastSettings
    model: ModelSettings
    spark: SparkSettings
    broker: BrokerSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: flags, environment, secret files, then the profile over the base."""
        del dotenv_settings
        given = dict(init_settings())
        profile = InitSettingsSource(settings_cls, init_kwargs=given.pop("_profile"))
        return InitSettingsSource(settings_cls, init_kwargs=given), env_settings, file_secret_settings, profile


def profile_names() -> list[str]:
    """Names of the profiles that ship with serverload."""
    return sorted(entry.name.removesuffix(".toml") for entry in files("conf").iterdir() if entry.name.endswith(".toml"))


def load_settings(config: str = DEFAULT_PROFILE, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read a profile (a shipped name or a TOML file), environment and flags into checked settings.

    `flags` holds nested keys as in base.toml, None meaning not given. Raises SettingsError with the place.
    """
    name, profile = _profile(config)
    _base_name, base = _profile("base")
    merged = _deep_merge(base, profile)
    given = {key: flag for key, flag in (flags or {}).items() if flag is not None}
    try:
        settings = Settings(_profile=merged, **given)  # type: ignore[call-arg]
    except ValidationError as error:
        raise _settings_error(error, name) from error
    if settings.classes.low_max >= settings.classes.medium_max:
        raise SettingsError(
            f"low_max {settings.classes.low_max:g} is not below medium_max {settings.classes.medium_max:g}",
            where=f"{name} [classes]",
            hint="see conf/base.toml",
        )
    return settings.model_copy(update={"home": absolute_home(settings.home)})


def absolute_home(home: str) -> str:
    """Return a home's address: one with a scheme as it is, a local folder as an absolute path."""
    return home.rstrip("/") if "://" in home or home.startswith("hdfs:") else str(Path(home).expanduser().absolute())


def is_local(home: str) -> bool:
    """Tell whether a home is a local folder."""
    return "://" not in home and not home.startswith("hdfs:")


def _profile(config: str) -> tuple[str, dict[str, Any]]:
    shipped: Traversable = files("conf").joinpath(f"{config}.toml")
    path: Traversable | Path = shipped if re.fullmatch(r"[\w-]+", config) and shipped.is_file() else Path(config)
    if not path.is_file():
        raise SettingsError(
            f"no profile or file {config!r}",
            where="--config",
            hint=f"use one of {', '.join(profile_names())}, or a TOML file",
        )
    name = f"conf/{config}.toml" if path is shipped else config
    try:
        return name, tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"is not valid TOML: {error}", where=name, hint="see conf/base.toml") from error


def _deep_merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, entry in over.items():
        both_tables = isinstance(entry, dict) and isinstance(merged.get(key), dict)
        merged[key] = _deep_merge(merged[key], entry) if both_tables else entry
    return merged


_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "string_type": "a text",
    "datetime_from_date_parsing": "a time",
}


def _settings_error(error: ValidationError, profile: str) -> SettingsError:
    first = error.errors(include_url=False)[0]
    *section, key = [str(part) for part in first["loc"]] or ["settings"]
    variable = ENV_PREFIX + "__".join([*section, key]).upper()
    place = f"{profile} [{'.'.join(section)}] {key}" if section else f"{profile} {key}"
    place = f"environment {variable}" if variable in os.environ else place
    if first["type"] == "extra_forbidden":
        what = "no such setting"
    elif first["type"] in _EXPECTED:
        what = f'expected {_EXPECTED[first["type"]]}, got "{first["input"]}"'
    else:
        what = f'{first["msg"].removeprefix("Value error, ")}, got "{first["input"]}"'
    return SettingsError(what, where=place, hint="see conf/base.toml")


def leaves(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every setting as (`section.key`, value), in order."""
    for name in type(settings).model_fields:
        entry = getattr(settings, name)
        if isinstance(entry, BaseModel):
            yield from leaves(entry, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", entry
