"""Flat forests in the registry: made from a pipeline's stored files, kept among them, read without Spark."""

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from serverload.contracts.errors import ModelError
from serverload.model.decision import Decision
from serverload.model.flat_export import flat_forest
from serverload.model.flat_files import load_flat, save_flat, save_reason
from serverload.model.flat_forest import FlatForest
from serverload.store.tracking import Tracking

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel

_FOLDER = "flat"
_PIPELINE = "sparkml"
"""Where MLflow keeps what Spark has written, below a model."""


def store_flat(tracking: Tracking, model: "PipelineModel", decision: Decision, address: str) -> None:
    """Lay the pipeline flat that is stored at `runs:/ID/PATH`, and keep it with its decision below the same path.

    It is kept only if it scores as `model`, the same pipeline in Spark, does. A pipeline that cannot be laid flat
    forecasts all the same: then the reason is kept for those who ask for the flat one, and logged.
    """
    from serverload.model.flat_check import check_flat

    _, run_id, path = address.split("/", 2)
    with TemporaryDirectory(prefix="serverload-") as folder:
        stored = tracking.mlflow().artifacts.download_artifacts(f"{address}/{_PIPELINE}", dst_path=folder)
        made = Path(folder, _FOLDER)
        made.mkdir()
        try:
            flat = replace(flat_forest(Path(stored)), decision=decision)
            check_flat(flat, model)
            save_flat(flat, made)
        except ModelError as error:
            logging.getLogger(__name__).warning("no reasons can be given for its forecasts: %s", error)
            save_reason(str(error), made)
        tracking.client().log_artifacts(run_id, str(made), f"{path}/{_FOLDER}")


def stored_flat(tracking: Tracking, address: str, where: str) -> FlatForest:
    """The flat forest kept with a model of MLflow's. Raises ModelError, beginning with `where`, if none fits."""
    mlflow = tracking.mlflow()
    with TemporaryDirectory(prefix="serverload-") as folder:
        try:
            made = mlflow.artifacts.download_artifacts(f"{address}/{_FOLDER}", dst_path=folder)
        except (mlflow.exceptions.MlflowException, OSError) as error:
            what = "there is no flat model: it was registered by an older serverload, or its files are gone"
            raise ModelError(what, where=where, hint="`serverload train` registers one") from error
        return load_flat(Path(made), where)
