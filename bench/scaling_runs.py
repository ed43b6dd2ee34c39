"""Histories of given sizes, read and learned from, with what that took: the measurements of bench.scaling."""

import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import SparkSession

from batch.backfill import backfill
from batch.compact import table_size
from batch.features import update_features
from batch.fitting import fitted_forest
from batch.train import train
from bench.measuring import seconds
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry

HORIZONS = ("24", "1,24,48", "1,3,6,12,24,36,48")
FITTED_ROWS = (30_000, 60_000, 120_000, 240_000)
"""The first warms up and is dropped."""
Row = dict[str, float]


class Size(NamedTuple):
    """Of a history."""

    servers: int
    days: int
    sessions_per_hour: float


class History(NamedTuple):
    """A home that holds a history of a size, and what it took to fill it."""

    home: Path
    row: Row


def settings_for(home: Path, **model: object) -> Settings:
    return load_settings(flags={"home": str(home), "model": model})


def history_row(spark: SparkSession, scratch: Path, size: Size) -> History:
    """Generate a history of this size, fill a home with it, delete the files; seconds by job, and what came of it."""
    name = "-".join(map(str, size))
    files, home = scratch / f"sessions-{name}", scratch / f"home-{name}"
    made = generate_history(
        files, servers=size.servers, days=size.days, start=date(2016, 1, 1), seed=1, dirty=0.01,
        sessions_per_hour=size.sessions_per_hour,
    )  # fmt: skip
    settings, tables, before = settings_for(home), DeltaTables(spark, str(home)), shuffled_bytes(scratch)
    taken = {
        "ingest": seconds(partial(backfill, tables, settings.ingest, [str(files)], Silent())),
        "hours": seconds(Advance(tables, settings).run),
        "features": seconds(partial(update_features, tables, settings, Silent())),
    }
    shutil.rmtree(files)
    windows, features = table_size(tables, "load_windows"), table_size(tables, "features")
    row = {
        **size._asdict(),
        "gigabytes": made.bytes / 1e9,
        "lines": made.lines,
        "window_rows": windows.rows,
        "window_files": windows.files,
        "window_megabytes": windows.bytes / 1e6,
        "feature_rows": features.rows,
        "feature_files": features.files,
        "feature_megabytes": features.bytes / 1e6,
        "shuffled_megabytes": (shuffled_bytes(scratch) - before) / 1e6,
    }
    return History(home, {**row, **taken})


def shuffled_bytes(scratch: Path) -> int:
    """Bytes that Spark's tasks have written for shuffles so far."""
    return sum(
        event["Task Metrics"]["Shuffle Write Metrics"]["Shuffle Bytes Written"]
        for log in (scratch / "events").iterdir()
        for event in _events(log)
        if event.get("Task Metrics")
    )


def _events(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text().splitlines():
        if '"Shuffle Write Metrics"' in line and line.startswith('{"Event":"SparkListenerTaskEnd"'):
            yield json.loads(line)


def horizon_rows(spark: SparkSession, home: Path) -> list[Row]:
    """All features of a home built anew for more and more horizons."""
    rows, tables = [], DeltaTables(spark, str(home))
    for horizons in HORIZONS:
        settings = settings_for(home, training_horizons=horizons)
        took = seconds(partial(update_features, tables, settings, Silent()))
        count = len(settings.model.training_horizons)
        rows.append({"horizons": count, "feature_rows": table_size(tables, "features").rows, "features": took})
    return rows


def fitted_rows(spark: SparkSession, home: Path) -> list[Row]:
    """The forest fitted on more and more rows."""
    rows, features = [], DeltaTables(spark, str(home)).read("features")
    for most in FITTED_ROWS:
        settings = settings_for(home, max_training_rows=most).model
        fitted = list[int]()
        took = seconds(lambda: fitted.append(fitted_forest(features, settings, calendar_position=False)[1]))  # noqa: B023
        rows.append({"rows": fitted[0], "fit": took})
    return rows[1:]


def learned(spark: SparkSession, home: Path) -> ModelRegistry:
    """The registry of a home that has a champion of full size."""
    settings = settings_for(home, max_training_rows=FITTED_ROWS[0], test_days=2)
    registry = ModelRegistry("", settings.model.name, settings.home)
    train(DeltaTables(spark, str(home)), settings, registry, Silent())
    return registry


def issue_rows(spark: SparkSession, homes: Sequence[Path], registry: ModelRegistry) -> list[Row]:
    """The forecasts of the newest closed hour, for homes with more and more servers; the model is loaded before."""
    champion = registry.champion()
    assert champion is not None
    champion.pipeline()
    rows = []
    for home in homes:
        tables = DeltaTables(spark, str(home))
        advance = Advance(tables, settings_for(home))
        took = seconds(partial(advance.run, lambda: champion, registry.version))
        servers, issued = table_size(tables, "servers").rows, table_size(tables, "forecasts")
        megabytes = issued.bytes / 1e6
        rows.append(
            {"servers": servers, "forecasts": issued.rows, "files": issued.files, "megabytes": megabytes, "issue": took}
        )
    return rows
