"""Flat forests in the registry, read without Spark."""

from pathlib import Path
from tempfile import TemporaryDirectory

from serverload.contracts.errors import ModelError
from serverload.model.flat_files import load_flat
from serverload.model.flat_forest import FlatForest
from serverload.store.tracking import Tracking

FLAT_FOLDER = "flat"
"""Where a flat forest lies, below its model."""


def stored_flat(tracking: Tracking, address: str, where: str) -> FlatForest:
    """The flat forest kept with a model of MLflow's. Raises ModelError, beginning with `where`, if none fits."""
    mlflow = tracking.mlflow()
    with TemporaryDirectory(prefix="serverload-") as folder:
        try:
            made = mlflow.artifacts.download_artifacts(f"{address}/{FLAT_FOLDER}", dst_path=folder)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            what = "there is no flat model: it was registered by an older serverload, or its files are gone"
            raise ModelError(what, where=where, hint="`serverload train` registers one") from error
        return load_flat(Path(made), where)
