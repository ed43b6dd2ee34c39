"""Options that every command shares, and what they open."""

import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverload.cli.log_lines import write_lines_as
from serverload.cli.spark_log import spark_is_up, spark_log
from serverload.contracts.errors import InputError, PlatformError, StoreError
from serverload.contracts.homes import DEFAULT_PROFILE, is_local
from serverload.contracts.instants import parse_utc_time
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.file_openers import FileOpener
    from serverload.store.model_registry import ModelRegistry

Config = Annotated[str, typer.Option("--config", help="Profile that ships with serverload, or a TOML file.")]
Home = Annotated[str | None, typer.Option("--home", help="Folder or address of tables, checkpoints and registry.")]
Format = Annotated[str, typer.Option("--format", help="table, csv or json.")]
CONFIG = DEFAULT_PROFILE
ROOM_NEEDED = 1 << 30


def settings_of(config: str, home: str | None, *, home_is_used: bool = True, **sections: Any) -> "Settings":
    """Settings of a command: the profile, the environment, then flags; flags that are None are not given.

    Raises StoreError for a home that is a file, unless the command only tells of it.
    """
    from serverload.contracts.settings import load_settings
    from serverload.store.storage_options import use_storage

    given = {name: _given(section) if isinstance(section, dict) else section for name, section in sections.items()}
    settings = load_settings(config, {"home": home, **{name: section for name, section in given.items() if section}})
    write_lines_as(settings.logs.format)
    use_storage(settings.storage)
    if home_is_used and is_local(settings.home) and Path(settings.home).is_file():
        raise StoreError("is a file, not a folder", where=settings.home, hint="choose another --home")
    return settings


def _given(section: dict[str, Any]) -> dict[str, Any]:
    return {key: entry for key, entry in section.items() if entry is not None}


def open_tables(settings: "Settings", job: str, bar: Progress) -> "DeltaTables":
    """Start Spark for a job and open the home's tables; Java, disk and jars are checked first."""
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.jars import spark_jars
    from serverload.store.java import find_spark_java
    from serverload.store.session import spark_session, submitted
    from serverload.store.storage_options import hadoop_options

    jars, log = [], None
    if not submitted():
        find_spark_java()
        if is_local(settings.home):
            _make_folder(Path(settings.home))
            check_room(Path(settings.home))
        check_room(Path(tempfile.gettempdir()))
        jars, log = spark_jars(), spark_log(settings.home, settings.logs.format)
    bar.step("start Spark")
    spark = spark_session(
        job,
        master=settings.spark.master,
        driver_memory=settings.spark.driver_memory,
        extra={**hadoop_options(settings.storage, settings.home), **settings.spark.settings},
        jars=jars,
        output=log,
        log_format=settings.logs.format,
    )
    spark_is_up(log)
    return DeltaTables(spark, settings.home)


def open_registry(settings: "Settings") -> "ModelRegistry":
    """The registry of a home; nothing is made or asked yet."""
    from serverload.store.model_registry import ModelRegistry

    return ModelRegistry(settings.model.tracking_uri, settings.model.name, settings.home)


def opener_of(settings: "Settings") -> "FileOpener":
    """Opens the files of a history, in stores by the secrets in [storage]."""
    from serverload.store.file_openers import FileOpener
    from serverload.store.storage_options import fsspec_options

    return FileOpener(fsspec_options(settings.storage))


def check_room(folder: Path, needed: int = ROOM_NEEDED) -> None:
    """Refuse to start where a full disk would soon end the job in the middle of its work."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PlatformError(
            f"only {free / 2**30:.1f} GiB free, a job needs {needed / 2**30:.1f} GiB",
            where=str(folder),
            hint="free some space, or choose another --home (TMPDIR for temporary files)",
        )


def _make_folder(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror}", where=str(home), hint="choose another --home") from error


def time_of(flag: str, text: str | None) -> datetime | None:
    """The time that an option gives, in UTC; None where it is not given. Raises InputError."""
    try:
        return parse_utc_time(text) if text else None
    except ValueError as error:
        raise InputError(f"{text!r} is not a time", where=flag, hint="write it as 2016-06-01T12:00") from error
