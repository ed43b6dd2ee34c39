"""The files of a fitted pipeline, as MLflow keeps them below the run that made it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.ml import PipelineModel

from serverload.contracts.feature_columns import FEATURES
from serverload.contracts.homes import is_local
from serverload.store.tracking import Tracking

_ARTIFACT = "forest"
_SIGNATURE_TYPES = {"INT": "integer", "DOUBLE": "double", "BOOLEAN": "boolean"}


def store_pipeline(tracking: Tracking, model: PipelineModel, run_id: str, files: Path | None = None) -> str:
    """Write a pipeline below a run, which must be there; its address.

    `files`: a folder of it as MLflow has written it elsewhere, to be kept as it is, bit for bit. Signature and
    requirements are given, else MLflow loads the pipeline to guess them.
    """
    if files is not None:
        tracking.client().log_artifacts(run_id, str(files), _ARTIFACT)
        return f"runs:/{run_id}/{_ARTIFACT}"
    mlflow = tracking.mlflow()
    with staging_folder(tracking.home) as staging, mlflow.start_run(run_id=run_id, nested=True):
        stored = mlflow.spark.log_model(
            model,
            _ARTIFACT,
            dfs_tmpdir=staging,
            signature=_signature(),
            pip_requirements=[f"pyspark=={installed_version('pyspark')}"],
        )
    return str(stored.model_uri)


def load_pipeline(tracking: Tracking, address: str) -> PipelineModel:
    """The pipeline at an address of MLflow, or in a folder as MLflow writes it; needs a running Spark session."""
    spark_models = tracking.mlflow().spark
    with staging_folder(tracking.home) as staging:
        model: PipelineModel = spark_models.load_model(address, dfs_tmpdir=staging)
    return model


@contextmanager
def staging_folder(home: str) -> Iterator[str]:
    """A folder that Spark's workers see too, for MLflow to stage a model in; gone afterwards."""
    if not is_local(home):
        yield f"{home}/tmp/mlflow"
        return
    Path(home).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".mlflow-", dir=home) as folder:
        yield folder


def _signature() -> Any:
    """What the pipeline takes and gives, in MLflow's words; every feature may be null there, as a REST caller's may."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    columns = [ColSpec(_SIGNATURE_TYPES[feature.type], feature.name) for feature in FEATURES]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double", "prediction")]))
