"""Options that every command shares, and what they open."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverload.contracts.errors import StoreError
from serverload.contracts.settings import DEFAULT_PROFILE, Settings, is_local, load_settings

if TYPE_CHECKING:
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry

Config = Annotated[str, typer.Option("--config", help="Profile that ships with serverload, or a TOML file.")]
Home = Annotated[str | None, typer.Option("--home", help="Folder or address of tables, checkpoints and registry.")]
Format = Annotated[str, typer.Option("--format", help="table, csv or json.")]
CONFIG = DEFAULT_PROFILE


def settings_of(config: str, home: str | None, **sections: Any) -> Settings:
    """Settings of a command: the profile, the environment, then flags; flags that are None are not given."""
    given = {name: _given(section) if isinstance(section, dict) else section for name, section in sections.items()}
    return load_settings(config, {"home": home, **{name: section for name, section in given.items() if section}})


def _given(section: dict[str, Any]) -> dict[str, Any]:
    return {key: entry for key, entry in section.items() if entry is not None}


def open_tables(settings: Settings, job: str) -> "DeltaTables":
    """Start Spark for a job and open the home's tables; Java and jars are checked first."""
    from serverload.store.broker_setup import check_disk
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.jars import spark_jars
    from serverload.store.java import find_spark_java
    from serverload.store.session import spark_session, submitted

    jars = []
    if not submitted():
        find_spark_java()
        if is_local(settings.home):
            _make_folder(Path(settings.home))
            check_disk(Path(settings.home))
        jars = spark_jars()
    spark = spark_session(
        job,
        master=settings.spark.master,
        driver_memory=settings.spark.driver_memory,
        extra=settings.spark.settings,
        jars=jars,
    )
    return DeltaTables(spark, settings.home)


def open_registry(settings: Settings) -> "ModelRegistry":
    """The registry of a home; nothing is made or asked yet."""
    from serverload.store.model_registry import ModelRegistry

    return ModelRegistry(settings.model.tracking_uri, settings.model.name, settings.home)


def _make_folder(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror}", where=str(home), hint="choose another --home") from error
