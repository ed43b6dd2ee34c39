"""Flat forests on their way into the registry: made from a pipeline's stored files, and checked beside it in Spark."""

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark.ml import PipelineModel

from serverload.contracts.errors import ModelError
from serverload.model.decision import Decision
from serverload.model.flat_check import check_flat
from serverload.model.flat_export import flat_forest
from serverload.model.flat_files import save_flat, save_reason
from serverload.store.flat_models import FLAT_FOLDER
from serverload.store.tracking import Tracking

_PIPELINE = "sparkml"
"""Where MLflow keeps what Spark has written, below a model."""


def store_flat(tracking: Tracking, model: PipelineModel, decision: Decision, address: str) -> None:
    """Lay the pipeline flat that is stored at `runs:/ID/PATH`, and keep it with its decision below the same path.

    It is kept only if it scores as `model`, the same pipeline in Spark, does. A pipeline that cannot be laid flat
    forecasts all the same: then the reason is kept for those who ask for the flat one, and logged.
    """
    _, run_id, path = address.split("/", 2)
    with TemporaryDirectory(prefix="serverload-") as folder:
        stored = tracking.mlflow().artifacts.download_artifacts(f"{address}/{_PIPELINE}", dst_path=folder)
        made = Path(folder, FLAT_FOLDER)
        made.mkdir()
        try:
            flat = replace(flat_forest(Path(stored)), decision=decision)
            check_flat(flat, model)
            save_flat(flat, made)
        except ModelError as error:
            logging.getLogger(__name__).warning("no reasons can be given for its forecasts: %s", error)
            save_reason(str(error), made)
        tracking.client().log_artifacts(run_id, str(made), f"{path}/{FLAT_FOLDER}")
