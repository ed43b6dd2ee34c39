"""The notebooks run as a reader runs them: each in a kernel of its own, on a small home; kept without outputs."""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from pyspark.sql import SparkSession
from serve_cases import place, running
from trained_home import SMALL_MODEL, TrainedHome, registry_of

import serverload
from serverload.advance import Advance
from serverload.contracts.settings import load_settings
from serverload.store.delta_tables import DeltaTables
from serverload.store.table_reader import open_table
from serving.app import make_app

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# a session of this process has left its launch settings in the environment
NOT_INHERITED = ("SPARK_DRIVER_MEMORY", "PYSPARK_SUBMIT_ARGS", "PYSPARK_PYTHON")


@pytest.fixture(scope="module")
def home(spark: SparkSession, trained: TrainedHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has learned and forecasts."""
    folder = trained.copied(tmp_path_factory.mktemp("notebooks") / "home")
    settings = load_settings(flags={"home": str(folder)})
    registry = registry_of(settings)
    Advance(DeltaTables(spark, settings.home), settings).run(registry.champion, registry.version)
    return folder


@pytest.fixture(scope="module")
def url(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over it."""
    shared = tmp_path_factory.mktemp("shared")
    place(shared)
    with running(make_app(load_settings(flags={"home": str(home)}), shared)) as url:
        yield url


def ran(name: str, home: Path, **environment: str) -> nbformat.NotebookNode:
    """A notebook after all of its cells have run. Raises CellExecutionError."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    kept = {key: entry for key, entry in os.environ.items() if not key.startswith(NOT_INHERITED)}
    kept |= {
        "SERVERLOAD_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(home),
        **environment,
    }
    NotebookClient(notebook, timeout=300, startup_timeout=300, kernel_name="python3").execute(
        cwd=str(ROOT / "notebooks"), env=kept
    )
    return notebook


def told(notebook: nbformat.NotebookNode) -> str:
    """All that its cells have printed or shown as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) >= 3
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


def test_explore(home: Path) -> None:
    shown = told(ran("explore", home))
    assert "still the class of the origin" in shown
    assert shown.count("<Figure") == 1


def test_train_and_compare(home: Path) -> None:
    small = {f"SERVERLOAD_MODEL__{name.upper()}": str(entry) for name, entry in SMALL_MODEL.items()}
    shown = told(ran("train_and_compare", home, **small))
    assert "serverload-forecast version 2: " in shown
    assert "same hour last week" in shown
    assert "challenger" in shown


def test_query(home: Path, url: str) -> None:
    shown = told(ran("query", home, SERVERLOAD_URL=url))
    assert "high_hours" in shown
    assert "maintain" in shown


def test_features_are_those_of_the_table(home: Path) -> None:
    server = serverload.load_forecasts(home).to_polars()["server_ip"][0]
    ours = serverload.features(home, server=server, horizons=(1, 48)).to_polars()
    table = open_table(str(home), "features")
    assert table is not None
    stored = serverload.Rows(table.to_table()).to_polars().filter(server_ip=server)

    assert ours.height == stored.height > 200
    assert ours.equals(stored.select(ours.columns).sort("target_hour", "horizon_hours"))
