"""A flat forest from the files of a fitted Spark pipeline, as Spark writes them; needs no Spark itself."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import ModelError
from serverload.contracts.feature_columns import UNKNOWN_LOAD
from serverload.model.flat_forest import FlatForest
from serverload.model.flat_inputs import FlatInputs
from serverload.model.flat_trees import FlatTrees

_KINDS = (
    "StringIndexerModel", "SQLTransformer", "VectorAssembler", "StandardScalerModel",
    "StringIndexerModel", "OneHotEncoderModel", "VectorAssembler", "RandomForestClassificationModel",
)  # fmt: skip
_FILLED = re.compile(rf"coalesce\((?P<name>\w+), {re.escape(str(UNKNOWN_LOAD))}D\) AS filled_(?P=name)")
_NUMBER = re.compile(r"cast\((?P<name>\w+) AS double\) AS number_(?P=name)")
_BETWEEN_NO_AND_YES = 0.5


def flat_forest(folder: Path) -> FlatForest:
    """The forest in a folder that `PipelineModel.save` has written, as `model.pipeline.forest_pipeline` makes it.

    Raises ModelError for a pipeline of other stages, or of parameters that the flat one does not follow.
    """
    stages = _stages(folder)
    kinds = tuple(stage.kind for stage in stages)
    if kinds != _KINDS:
        raise _unknown(f"its stages are {', '.join(kinds)}")
    label, statement, loads, scaler, indexer, encoder, inputs, forest = stages
    flat = _inputs(statement, scaler, indexer)
    columns = [scaler["outputCol"], *_named("number", flat.numbers), *_named("coded", flat.labels)]
    categories = list(flat.labels)
    expected = [
        (label.rows()["labelsArray"], [list(CLASSES)]),
        (forest["numClasses"], len(CLASSES)),
        (loads["inputCols"], _named("filled", flat.loads)),
        ((scaler["withMean"], scaler["withStd"]), (False, True)),
        ((indexer["inputCols"], indexer["handleInvalid"]), (categories, "keep")),
        ((encoder["inputCols"], encoder["outputCols"]), (_named("indexed", categories), _named("coded", categories))),
        (encoder["dropLast"], False),
        (encoder.rows()["categorySizes"], [len(labels) + 1 for labels in flat.labels.values()]),
        (inputs["inputCols"], columns),
    ]
    for found, ours in expected:
        if found != ours:
            raise _unknown(f"it has {found} where {ours} is known")
    return FlatForest(flat, _trees(forest.folder))


@dataclass(frozen=True)
class _Stage:
    """One stage of a saved pipeline: its kind, the parameters in force and other facts, the folder of its data."""

    kind: str
    facts: dict[str, Any]
    folder: Path

    def __getitem__(self, name: str) -> Any:
        return self.facts.get(name)

    def rows(self) -> dict[str, Any]:
        """The one row of its data."""
        return pl.read_parquet(self.folder / "data" / "*.parquet").row(0, named=True)


def _stages(folder: Path) -> list[_Stage]:
    uids = _metadata(folder)["paramMap"]["stageUids"]
    width = len(str(len(uids)))
    return [_stage(folder / "stages" / f"{index:0{width}d}_{uid}") for index, uid in enumerate(uids)]


def _stage(folder: Path) -> _Stage:
    facts = _metadata(folder)
    return _Stage(facts["class"].rpartition(".")[2], facts | facts["defaultParamMap"] | facts["paramMap"], folder)


def _metadata(folder: Path) -> dict[str, Any]:
    (part,) = (folder / "metadata").glob("part-*")
    facts: dict[str, Any] = json.loads(part.read_text(encoding="utf-8"))
    return facts


def _inputs(statement: _Stage, scaler: _Stage, indexer: _Stage) -> FlatInputs:
    loads, numbers = _told(statement["statement"])
    categories = [name.removeprefix("indexed_") for name in indexer["outputCols"]]
    return FlatInputs(
        loads=loads,
        deviations=_dense(scaler.rows()["std"]),
        numbers=numbers,
        labels=dict(zip(categories, map(tuple, indexer.rows()["labelsArray"]), strict=True)),
    )


def _told(sql: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which columns a statement takes for loads, and which for numbers."""
    filled, numbers = list(_FILLED.finditer(sql)), list(_NUMBER.finditer(sql))
    if f"SELECT *, {', '.join(each[0] for each in (*filled, *numbers))} FROM __THIS__" != sql:
        raise _unknown("its statement is another one")
    return tuple(each["name"] for each in filled), tuple(each["name"] for each in numbers)


def _trees(folder: Path) -> FlatTrees:
    """The nodes of all trees. Spark numbers them within their tree, the root 0, and tells -1 as the child of a leaf."""
    read = pl.read_parquet(folder / "data" / "*.parquet").unnest("nodeData").unnest("split").sort("treeID", "id")
    roots = np.flatnonzero(read["id"].to_numpy() == 0)
    leaves = read["leftChild"].to_numpy() < 0
    children = read.select("leftChild", "rightChild").to_numpy() + roots[read["treeID"].to_numpy()][:, None]
    children[leaves] = np.flatnonzero(leaves)[:, None]
    inputs = np.where(leaves, 0, read["featureIndex"].to_numpy())
    told = read["leftCategoriesOrThreshold"].list.first().fill_null(np.inf).to_numpy()
    category = read["numCategories"].to_numpy() >= 0
    if (read["numCategories"].to_numpy()[category] != 2).any():
        raise _unknown("a split asks for one of several categories")
    # a category's column holds 0 or 1, and the left child is of one of them
    children[category & (told == 1)] = children[category & (told == 1)][:, ::-1]
    counts = np.array(read["impurityStats"].to_list())
    return FlatTrees(
        roots=roots,
        inputs=inputs,
        thresholds=np.where(category, _BETWEEN_NO_AND_YES, told),
        children=children,
        shares=counts / counts.sum(axis=1, keepdims=True),
        depth=_depth(roots, children),
    )


def _depth(roots: NDArray[np.int64], children: NDArray[np.int64]) -> int:
    """How many steps the longest way from a root to a leaf has."""
    depth, level = 0, roots
    while (level := np.setdiff1d(children[level], level)).size:
        depth += 1
    return depth


def _dense(vector: dict[str, Any]) -> NDArray[np.float64]:
    if vector["indices"] is None:
        return np.array(vector["values"])
    dense = np.zeros(vector["size"])
    dense[vector["indices"]] = vector["values"]
    return dense


def _named(prefix: str, names: Iterable[str]) -> list[str]:
    return [f"{prefix}_{name}" for name in names]


def _unknown(what: str) -> ModelError:
    return ModelError(f"the pipeline cannot be laid flat: {what}")
