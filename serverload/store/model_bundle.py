"""A version as a folder that can be carried to another registry: its files, its facts, and a checksum of each."""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import SparkSession

from serverload.contracts.errors import InputError
from serverload.model.forecasting import check_scores
from serverload.store.model_files import load_pipeline
from serverload.store.model_registry import ModelRegistry, RegisteredModel
from serverload.store.registered_models import ORIGIN_TAG
from serverload.store.runs import job_run, run_row

MANIFEST, FACTS, MODEL = "manifest.json", "facts.json", "model"
_FORMAT = 1
_WRITTEN_BY_DOWNLOADS = "registered_model_meta"
"""A file that MLflow adds to what it downloads, of its own registry."""


def download(model: RegisteredModel, out: Path) -> str:
    """Write a version into a new folder; returns the checksum of its manifest, which tells those of all other files.

    The folder appears whole or not at all. Raises InputError when it is there already and not empty, ModelError when
    the registry does not give the files.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError("is there already and not empty", where=str(out), hint="choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".serverload-", dir=out.parent) as folder:
        made = Path(folder, "made")
        made.mkdir()
        _fetch(model, Path(folder, "fetched")).rename(made / MODEL)
        _write(made / FACTS, _told(model))
        _write(made / MANIFEST, {"format": _FORMAT, "sha256": _checksums(made)})
        made.rename(out)
    return _checksum(out / MANIFEST)


def register(folder: Path, registry: ModelRegistry, spark: SparkSession) -> RegisteredModel:
    """Register a downloaded version with its facts as a new one, its files bit for bit; recorded as an MLflow run.

    Raises InputError, naming the file, unless every checksum holds and no file is missing or too many; ModelError
    when it does not score here. What it holds is run as code: take models only from where you would take programs.
    """
    told = checked_facts(folder)
    origin = f"{told['name']} version {told['version']} of {told['registry']}"
    with job_run(registry.tracking, "register", {"folder": folder, "origin": origin}) as run:
        with registry.tracking.in_one_line(f"{folder / MODEL} cannot be loaded"):
            pipeline = load_pipeline(registry.tracking, str(folder / MODEL))
        check_scores(spark, pipeline)
        run.note_as(**told["run"])
        facts = told["facts"] | {ORIGIN_TAG: f"{origin}, manifest {_checksum(folder / MANIFEST)}"}
        return registry.register(pipeline, run.run_id, facts, folder / MODEL)


def checked_facts(folder: Path) -> dict[str, Any]:
    """The facts of a downloaded version. Raises InputError, naming the file, unless all is as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        format, wanted = manifest["format"], dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise InputError(what, where=str(folder / MANIFEST), hint="name a folder of `models download`") from error
    if format != _FORMAT:
        raise InputError(f"has format {format}, this serverload reads {_FORMAT}", where=str(folder / MANIFEST))
    found = _checksums(folder)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            what = "has another checksum than its manifest tells" if name in wanted else "is not in the manifest"
            what = what if name in found else "is missing"
            raise InputError(what, where=str(folder / name), hint="download the model again")
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return facts


def _fetch(model: RegisteredModel, folder: Path) -> Path:
    """The folder below `folder` with the files of a version, as they lie in the registry."""
    tracking = model.registry.tracking
    with tracking.in_one_line(f"{model.name} version {model.version} cannot be downloaded"):
        address = f"models:/{model.name}/{model.version}"
        files = Path(tracking.mlflow().artifacts.download_artifacts(address, dst_path=str(folder)))
        (files / _WRITTEN_BY_DOWNLOADS).unlink(missing_ok=True)
        if not (files / "MLmodel").is_file():  # what is gone altogether is no error for MLflow
            raise FileNotFoundError("its files are gone")
    return files


def _told(model: RegisteredModel) -> dict[str, Any]:
    """What is known of a version beside its files."""
    tracking = model.registry.tracking
    run = run_row(tracking, model.run_id)
    return {
        "name": model.name,
        "version": model.version,
        "registry": tracking.place,
        "created": model.created.isoformat(),
        "facts": model.facts,
        "run": {
            "rows": run.rows if run else None,
            "data_range": run.data_range if run else "",
            "key_metrics": run.key_metrics if run else "",
        },
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _checksums(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder by its path there, but of the manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: _checksum(path) for name, path in names.items() if name != MANIFEST}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
