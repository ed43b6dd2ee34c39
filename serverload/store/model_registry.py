"""The registered models: which is champion, loading a version, registering a new one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.ml import PipelineModel

from serverload.contracts.errors import ModelError
from serverload.contracts.feature_columns import FEATURES
from serverload.contracts.settings import is_local
from serverload.model.decision import Decision
from serverload.store.tracking import Tracking

CHAMPION = "champion"
"""The alias that scoring follows; moving it is a promotion."""

VERSION_TAG = "serverload.model_version"
"""Tag of the run that registered a version."""

DECISION_TAG = "decision"
"""Tag of a version: what becomes of its probabilities, as text."""

_ARTIFACT = "forest"
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_SIGNATURE_TYPES = {"INT": "integer", "DOUBLE": "double", "BOOLEAN": "boolean"}


@dataclass
class RegisteredModel:
    """One version of the registered model, and the run that made it."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]
    registry: "ModelRegistry" = field(repr=False, compare=False)

    @property
    def decision(self) -> Decision:
        """What becomes of its probabilities."""
        return Decision.of_text(self.tags.get(DECISION_TAG, ""))

    @property
    def only_horizons(self) -> tuple[int, ...] | None:
        """The horizons (h) that alone it can forecast; None where the horizon is one of its inputs."""
        if self.tags.get("feature_set") != "article":
            return None
        return tuple(int(hours) for hours in self.tags["training_horizons"].split(","))

    def pipeline(self) -> PipelineModel:
        """The fitted pipeline, loaded once per registry object. Raises ModelError when its artefacts are missing."""
        return self.registry.load(self.version)


class ModelRegistry:
    """The versions of one registered model in an MLflow store."""

    def __init__(self, tracking_uri: str, name: str, home: str) -> None:
        """Nothing is opened or made yet; an empty `tracking_uri` means a sqlite file in the (local) home."""
        self.tracking = Tracking(tracking_uri, home)
        self.name = name
        self._loaded: dict[str, PipelineModel] = {}

    def champion(self) -> RegisteredModel | None:
        """The version with the alias `champion`; None when the registry is empty or not yet made (nor made now)."""
        return self._known("get_model_version_by_alias", CHAMPION)

    def version(self, version: str) -> RegisteredModel | None:
        """One version; None when it is not registered."""
        return self._known("get_model_version", version)

    def load(self, version: str) -> PipelineModel:
        """The fitted pipeline of a version, kept once loaded; needs a running Spark session.

        Raises ModelError, naming the version, when it is not registered or its artefacts are missing.
        """
        if version not in self._loaded:
            if self.version(version) is None:
                raise ModelError(f"{self.name} version {version} is not registered", where=self.tracking.place)
            spark_models = self.tracking.mlflow().spark
            with (
                self.tracking.in_one_line(f"{self.name} version {version} cannot be loaded"),
                self._staging() as staging,
            ):
                self._loaded[version] = spark_models.load_model(f"models:/{self.name}/{version}", dfs_tmpdir=staging)
        return self._loaded[version]

    def register(self, model: PipelineModel, run_id: str, facts: Mapping[str, str]) -> RegisteredModel:
        """Store a fitted pipeline under a run as a new version with `facts` as its tags, and make it champion.

        The alias is moved last: whoever follows it never meets a version that is not whole.
        """
        client = self.tracking.client()
        with self.tracking.in_one_line(f"{self.name} cannot be registered"):
            uri = self._stored(model, run_id)
            if not client.search_registered_models(f"name = '{self.name}'"):
                client.create_registered_model(self.name)
            made = client.create_model_version(self.name, uri, run_id, tags=dict(facts))
            client.set_tag(run_id, VERSION_TAG, str(made.version))
            client.set_registered_model_alias(self.name, CHAMPION, str(made.version))
        self._loaded[str(made.version)] = model
        return RegisteredModel(self.name, str(made.version), run_id, dict(facts), self)

    def _known(self, question: str, which: str) -> RegisteredModel | None:
        """Ask the store for one version; None where it says that there is none."""
        if not self.tracking.made:
            return None
        client = self.tracking.client()
        from mlflow.exceptions import MlflowException

        with self.tracking.in_one_line():
            try:
                found = getattr(client, question)(self.name, which)
            except MlflowException as error:
                if error.error_code in _NOT_THERE:
                    return None
                raise
        return RegisteredModel(found.name, str(found.version), str(found.run_id), dict(found.tags), self)

    def _stored(self, model: PipelineModel, run_id: str) -> str:
        """Write the pipeline below the run; signature and requirements by hand, else MLflow loads it to guess them."""
        mlflow = self.tracking.mlflow()
        with self._staging() as staging, mlflow.start_run(run_id=run_id, nested=True):
            stored = mlflow.spark.log_model(
                model,
                _ARTIFACT,
                dfs_tmpdir=staging,
                signature=_signature(),
                pip_requirements=[f"pyspark=={installed_version('pyspark')}"],
            )
        return str(stored.model_uri)

    @contextmanager
    def _staging(self) -> Iterator[str]:
        """A folder that Spark's workers see too, for MLflow to stage a model in; gone afterwards."""
        if not is_local(self.tracking.home):
            yield f"{self.tracking.home}/tmp/mlflow"
            return
        Path(self.tracking.home).mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".mlflow-", dir=self.tracking.home) as folder:
            yield folder


def _signature() -> Any:
    """What the pipeline takes and gives, in MLflow's words; every feature may be null there, as a REST caller's may."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    columns = [ColSpec(_SIGNATURE_TYPES[feature.type], feature.name) for feature in FEATURES]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double", "prediction")]))
