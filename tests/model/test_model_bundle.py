"""A model carried from one registry to another as a folder: whole and bit for bit, or refused in one line."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from feature_cases import trees_of
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer

from serverload.cli import app
from serverload.contracts.errors import InputError, ModelError
from serverload.store.model_bundle import checked_facts, download, register
from serverload.store.model_list import ModelRow, model_rows
from serverload.store.model_registry import ModelRegistry
from serverload.store.runs import job_run

NAME = "serverload-forecast"
FACTS = {"feature_set": "full", "first_target": "2016-06-08T00:00Z", "test_start": "2016-06-22T00:00Z"}


def registry_in(folder: Path) -> ModelRegistry:
    return ModelRegistry("", NAME, str(folder))


def trained(registry: ModelRegistry, model: PipelineModel) -> str:
    with job_run(registry.tracking, "train") as run:
        run.note_data(rows=120)
        run.note_key_metrics({"h48_macro_f1": 0.91})
        return registry.register(model, run.run_id, FACTS).version


@pytest.fixture(scope="module")
def home(tmp_path_factory, fitted) -> Path:
    """A home with a promoted version 2."""
    home = tmp_path_factory.mktemp("home")
    for _ in range(2):
        trained(registry_in(home), fitted)
    registry_in(home).promote("2", "a test")
    return home


@pytest.fixture(scope="module")
def bundle(home, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "carried"
    app(["models", "download", "2", "--out", str(folder), "--home", str(home)], standalone_mode=False)
    return folder


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copy")


def checksums(folder: Path) -> dict[str, str]:
    return json.loads((folder / "manifest.json").read_text())["sha256"]


def test_a_download_holds_the_checksum_of_every_file_and_nothing_else(bundle):
    files = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}

    del files["manifest.json"]
    assert checksums(bundle) == {name: sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert {"facts.json", "model/MLmodel"} <= set(files)
    assert list(bundle.parent.iterdir()) == [bundle]


def test_a_carried_model_is_champion_elsewhere_with_its_facts_its_files_and_where_it_came_from(
    spark, fitted, home, bundle, tmp_path
):
    there = registry_in(tmp_path / "there")

    registered = register(bundle, there, spark)

    assert (registered.version, registered.aliases, registered.facts) == ("1", ("champion",), FACTS)
    manifest = sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    assert (
        registered.tags["serverload.origin"] == f"{NAME} version 2 of sqlite:///{home}/mlflow.db, manifest {manifest}"
    )
    assert trees_of(registry_in(tmp_path / "there").champion().pipeline()) == trees_of(fitted)
    (row,) = model_rows(there)
    assert (row.job, row.rows, row.scores, row.test_start) == (
        "register",
        120,
        "h48_macro_f1 0.91",
        FACTS["test_start"],
    )
    download(registered, tmp_path / "again")
    first, again = (
        {name: told for name, told in checksums(folder).items() if name != "facts.json"}
        for folder in (bundle, tmp_path / "again")
    )
    assert again == first


def damage(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).open("ab").write(b" ")


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (
            damage("model/MLmodel"),
            "model/MLmodel: has another checksum than its manifest tells; download the model again",
        ),
        (damage("facts.json"), "facts.json: has another checksum than its manifest tells"),
        (lambda folder: (folder / "model/MLmodel").unlink(), "model/MLmodel: is missing; download the model again"),
        (lambda folder: (folder / "model/more").touch(), "model/more: is not in the manifest"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: is missing; name a folder of `models dow"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "manifest.json: cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json: cannot be read"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format": 9, "sha256": {}}'),
            "manifest.json: has format 9, this serverload reads 1",
        ),
    ],
)
def test_a_folder_that_is_not_as_it_was_written_is_refused_by_the_name_of_the_file(copy, harm, line):
    harm(copy)

    with pytest.raises(InputError) as caught:
        checked_facts(copy)

    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_refuses_a_damaged_folder_before_it_makes_anything(copy, tmp_path):
    damage("model/MLmodel")(copy)

    with pytest.raises(InputError, match="model/MLmodel: has another checksum"):
        app(["models", "register", str(copy), "--home", str(tmp_path / "there")], standalone_mode=False)

    assert not (tmp_path / "there").exists()


def test_a_model_that_does_not_score_is_not_registered(spark, tmp_path):
    here, there = registry_in(tmp_path / "here"), registry_in(tmp_path / "there")
    trained(here, PipelineModel([SQLTransformer(statement="SELECT *, phase_of_the_moon FROM __THIS__")]))
    download(here.champion(), tmp_path / "carried")

    with pytest.raises(ModelError, match=r"does not score the features there are: .*phase_of_the_moon"):
        register(tmp_path / "carried", there, spark)

    assert there.versions() == []


def test_a_download_never_writes_into_what_is_there(home, bundle):
    before = checksums(bundle)

    with pytest.raises(InputError, match="is there already and not empty; choose another --out"):
        download(registry_in(home).champion(), bundle)

    assert checksums(bundle) == before
    checked_facts(bundle)


def test_missing_artefacts_end_a_download_in_one_line_and_leave_no_folder(home, tmp_path):
    shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("mlartifacts"))

    with pytest.raises(ModelError, match=f"{NAME} version 2 cannot be downloaded") as caught:
        download(registry_in(tmp_path / "home").champion(), tmp_path / "out" / "carried")

    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_versions_are_listed_with_their_run_data_scores_and_fate(home, capsys):
    rows = model_rows(registry_in(home))

    assert [(row.version, row.aliases, row.rows, row.promoted_why) for row in rows] == [
        ("2", "champion", 120, "a test"), ("1", "previous", 120, ""),
    ]  # fmt: skip
    assert isinstance(rows[0], ModelRow)
    assert rows[0].promoted_at >= rows[0].created
    app(["models", "--home", str(home), "--format", "json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["scores"], row["job"]) for row in told] == [
        ("2", "h48_macro_f1 0.91", "train"), ("1", "h48_macro_f1 0.91", "train"),
    ]  # fmt: skip
