"""A registry that holds flat forests alone, as training leaves them beside the pipelines of Spark."""

from pathlib import Path
from tempfile import TemporaryDirectory

from serverload.model.decision import Decision
from serverload.model.flat_files import save_flat
from serverload.model.flat_forest import FlatForest
from serverload.store.registered_models import CHAMPION, DECISION_TAG
from serverload.store.tracking import Tracking

NAME = "serverload-forecast"


def register(home: Path, forest: FlatForest, decision: Decision = Decision(), *, champion: bool = True) -> str:  # noqa: B008
    """Add a version, as champion if it is to be; returns its number."""
    tracking = Tracking("", str(home))
    run = tracking.client().create_run(tracking.experiment_id())
    client = tracking.client()
    with TemporaryDirectory() as folder:
        save_flat(forest, Path(folder))
        client.log_artifacts(run.info.run_id, folder, "forest/flat")
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    source = f"runs:/{run.info.run_id}/forest"
    tags = {DECISION_TAG: decision.text(), "feature_set": "full"}
    version = str(client.create_model_version(NAME, source, run.info.run_id, tags=tags).version)
    if champion:
        client.set_registered_model_alias(NAME, CHAMPION, version)
    return version
