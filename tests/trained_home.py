"""A small fleet whose history is backfilled and learned, made once for all tests of a process that begin with one."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from batch.backfill import backfill
from batch.features import update_features
from batch.train import train
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry

DAYS, SERVERS, START, SESSIONS_PER_HOUR = 8, 4, date(2016, 2, 23), 40.0
"""The history ends with February, the newest day is the first of March."""

SMALL_MODEL = {"trees": 5, "depth": 4, "test_days": 2, "training_horizons": "1,48"}


@dataclass(frozen=True)
class TrainedHome:
    """Daily files, oldest first, and a home that has learned from all but the newest; nothing is forecast yet."""

    days: list[Path]
    folder: Path

    @property
    def history(self) -> list[Path]:
        """What the home has learned from."""
        return self.days[:-1]

    def copied(self, to: Path) -> Path:
        """The home once more, to live in."""
        return Path(shutil.copytree(self.folder, to, dirs_exist_ok=True))


def registry_of(settings: Settings) -> ModelRegistry:
    return ModelRegistry("", settings.model.name, settings.home)


def trained_home(spark: SparkSession, folder: Path, days: list[Path], history: int) -> TrainedHome:
    """Backfill the first `history` of these days, in two batches, and learn them."""
    batch = {"batch_bytes": sum(day.stat().st_size for day in days[:history]) * 2 // 3}
    settings = load_settings(flags={"home": str(folder), "model": SMALL_MODEL, "ingest": batch})
    tables = DeltaTables(spark, settings.home)
    backfill(tables, settings.ingest, [str(day) for day in days[:history]], Silent())
    Advance(tables, settings).run()
    update_features(tables, settings, Silent())
    train(tables, settings, registry_of(settings), Silent())
    return TrainedHome(days, folder)


def small_trained_home(spark: SparkSession, folder: Path) -> TrainedHome:
    made = generate_history(
        folder / "sessions",
        servers=SERVERS,
        days=DAYS,
        start=START,
        seed=3,
        dirty=0.02,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )
    return trained_home(spark, folder / "home", list(made.files), DAYS - 1)
