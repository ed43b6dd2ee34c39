"""Settings: types and checks. Defaults and meanings stand in conf/base.toml and nowhere else."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as UnreadableSource

from serverload.contracts.backtest_settings import BacktestSettings
from serverload.contracts.errors import SettingsError
from serverload.contracts.eventhubs_settings import EventHubsSettings, kafka_endpoint
from serverload.contracts.homes import DEFAULT_PROFILE
from serverload.contracts.kafka_settings import KafkaSettings, login_fault
from serverload.contracts.operation_settings import DailySettings, LogSettings, MetricsSettings
from serverload.contracts.plan_settings import PlanSettings
from serverload.contracts.promotion_settings import PromotionSettings
from serverload.contracts.serve_settings import ServeSettings
from serverload.contracts.setting_places import ENV_PREFIX, SECRETS_DIR, place_of, settings_error, variable_of
from serverload.contracts.setting_types import CostMatrix, Horizons, Names, Pattern, Section, UtcTime
from serverload.contracts.storage_settings import StorageSettings, home_fault, storage_fault
from serverload.contracts.watch_settings import WatchSettings


class IngestSettings(Section):
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


class TimeSettings(Section):
    """When hours close and servers retire."""

    allowed_lateness_minutes: int = Field(ge=0)
    retire_after_hours: int = Field(ge=1)


class ClassSettings(Section):
    """Where low ends and high begins, in load."""

    low_max: float
    medium_max: float

    def facts(self) -> dict[str, str]:
        """The bounds as texts, as a model version keeps them: the shortest that mean the same number."""
        return {name: repr(bound).removesuffix(".0") for name, bound in self.model_dump().items()}


class StreamSettings(Section):
    """The live source and its pace."""

    bootstrap: str
    topic: str = Field(min_length=1)
    starting_offsets: Literal["earliest", "latest"]
    max_messages_per_batch: int = Field(ge=1)
    trigger_seconds: float = Field(ge=0)
    forecast_interval_seconds: float = Field(ge=0)


class ForecastSettings(Section):
    """What is issued when an hour closes."""

    horizons: Horizons
    catch_up_hours: int = Field(ge=1)
    min_known_hours: int = Field(ge=0, le=168)


class ModelSettings(Section):
    """The forest and its registry."""

    name: str = Field(min_length=1)
    tracking_uri: str
    feature_set: Literal["full", "article"]
    training_horizons: Horizons
    test_days: int = Field(ge=1)
    trees: int = Field(ge=1)
    depth: int = Field(ge=1, le=30)
    min_rows_per_leaf: int = Field(ge=1)
    feature_subset: Literal["auto", "onethird", "sqrt", "log2", "all"]
    calendar_position: Literal["auto", "on", "off"]
    calibration_days: int = Field(ge=1)
    calibration: Literal["auto", "none"]
    cost: CostMatrix
    coverage: float = Field(ge=0.5, lt=1)
    seed: int
    max_training_rows: int = Field(ge=1000)


class UpkeepSettings(Section):
    """What `compact` may delete."""

    retain_hours: int = Field(ge=168)


class SparkSettings(Section):
    """The Spark session, where spark-submit has not decided already."""

    master: str
    driver_memory: str
    settings: dict[str, str]


class BrokerSettings(Section):
    """The embedded broker."""

    port: int = Field(ge=0, le=65535)


class Settings(BaseSettings):
    """All settings, frozen and checked once at the door; steps get values, never this object."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    home: str = Field(min_length=1)
    ingest: IngestSettings
    time: TimeSettings
    classes: ClassSettings
    stream: StreamSettings
    kafka: KafkaSettings
    eventhubs: EventHubsSettings
    storage: StorageSettings
    forecast: ForecastSettings
    model: ModelSettings
    promotion: PromotionSettings
    backtest: BacktestSettings
    watch: WatchSettings
    upkeep: UpkeepSettings
    daily: DailySettings
    metrics: MetricsSettings
    logs: LogSettings
    serve: ServeSettings
    plan: PlanSettings
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
        flags = InitSettingsSource(settings_cls, init_kwargs=given)
        folder = os.environ.get(SECRETS_DIR)
        secrets = NestedSecretsSettingsSource(file_secret_settings, folder, secrets_dir_missing="error")
        return flags, env_settings, secrets, profile


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
    _refuse_secrets(merged, name)
    given = {key: flag for key, flag in (flags or {}).items() if flag is not None}
    try:
        settings = Settings(_profile=merged, **given)  # type: ignore[call-arg]
    except ValidationError as error:
        raise settings_error(error, name, Settings) from error
    except (UnreadableSource, UnicodeDecodeError) as error:
        raise SettingsError(str(error), where="environment or secret files", hint="see docs/settings.md") from error
    settings = _with_kafka_endpoint(settings, name)
    _check(settings, name)
    return settings.model_copy(update={"home": absolute_home(settings.home)})


def _with_kafka_endpoint(settings: Settings, name: str) -> Settings:
    """One secret is enough for Event Hubs: address and login of its Kafka endpoint follow from it."""
    stream = settings.stream
    kafka, bootstrap = kafka_endpoint(settings.eventhubs, settings.kafka, stream.bootstrap, stream.topic, name)
    return settings.model_copy(update={"kafka": kafka, "stream": stream.model_copy(update={"bootstrap": bootstrap})})


def _refuse_secrets(profile: dict[str, Any], name: str) -> None:
    """Refuse a secret in a file of settings, which is shown, copied and put under version control."""
    for section, key in _secrets():
        of_section = profile.get(section)
        if isinstance(of_section, dict) and of_section.get(key):
            hint = f"set {variable_of([section, key])} or a file of that name in the folder {SECRETS_DIR}"
            raise SettingsError("a secret has no place in this file", where=f"{name} [{section}] {key}", hint=hint)


def _secrets() -> Iterator[tuple[str, str]]:
    """Section and key of every secret."""
    for section, field in Settings.model_fields.items():
        for key, inner in getattr(field.annotation, "model_fields", {}).items():
            if inner.annotation is SecretStr:
                yield section, key


def _check(settings: Settings, name: str) -> None:
    """Look at what several settings make together."""
    if settings.classes.low_max >= settings.classes.medium_max:
        raise SettingsError(
            f"low_max {settings.classes.low_max:g} is not below medium_max {settings.classes.medium_max:g}",
            where=f"{name} [classes]",
            hint="see conf/base.toml",
        )
    if unsafe := home_fault(settings.storage, settings.home):
        key, what, hint = unsafe
        raise SettingsError(what, where=place_of(name, key.split(".")), hint=hint)
    watch = settings.watch
    if watch.max_age_days <= settings.model.test_days:
        what = f"{watch.max_age_days} is not above [model] test_days {settings.model.test_days}: never young enough"
        raise SettingsError(what, where=f"{name} [watch] max_age_days", hint="see conf/base.toml")
    for section, fault in (("kafka", login_fault(settings.kafka)), ("storage", storage_fault(settings.storage))):
        if fault:
            key, what = fault
            secret = f"set {variable_of([section, key])} or a secret file" if (section, key) in _secrets() else ""
            raise SettingsError(what, where=place_of(name, [section, key]), hint=secret or "see conf/base.toml")


def absolute_home(home: str) -> str:
    """Return a home's address: one with a scheme as it is, a local folder as an absolute path."""
    return home.rstrip("/") if "://" in home or home.startswith("hdfs:") else str(Path(home).expanduser().absolute())


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


def leaves(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every setting as (`section.key`, value), in order."""
    for name in type(settings).model_fields:
        entry = getattr(settings, name)
        if isinstance(entry, BaseModel):
            yield from leaves(entry, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", entry
