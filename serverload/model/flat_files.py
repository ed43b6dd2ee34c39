"""The files of a flat forest: its arrays (npz, nothing pickled) and, beside them, facts with their checksum."""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from serverload.contracts.classes import CLASSES
from serverload.contracts.errors import ModelError
from serverload.contracts.feature_columns import FEATURE_DEFINITION
from serverload.model.decision import Decision
from serverload.model.flat_forest import FlatForest
from serverload.model.flat_inputs import FlatInputs
from serverload.model.flat_trees import FlatTrees

ARRAYS, FACTS = "model.npz", "facts.json"

_FORMAT = 2
_TEXTS = ("loads", "numbers", "labels")
_TREES = ("roots", "inputs", "thresholds", "children", "shares")
_HINT = "restore the registry's files, or register another with `serverload train`"


def save_flat(forest: FlatForest, folder: Path) -> None:
    """Write a forest's files into a folder."""
    texts = {name: getattr(forest.inputs, name) for name in _TEXTS} | {"decision": forest.decision.text()}
    numbers = {f"tree_{name}": getattr(forest.trees, name) for name in _TREES}
    numbers["deviations"] = forest.inputs.deviations
    content = BytesIO()
    np.savez_compressed(content, texts=np.array(json.dumps(texts)), depth=np.array(forest.trees.depth), **numbers)
    (folder / ARRAYS).write_bytes(content.getvalue())
    facts = {
        "format": _FORMAT,
        "feature_definition": FEATURE_DEFINITION,
        "classes": CLASSES,
        "trees": forest.trees.roots.size,
        "nodes": forest.trees.inputs.size,
        "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def save_reason(reason: str, folder: Path) -> None:
    """Write, in place of a forest's files, why there is none."""
    (folder / FACTS).write_text(json.dumps({"reason": reason}) + "\n", encoding="utf-8")


def load_flat(folder: Path, where: str = "") -> FlatForest:
    """Read a forest's files.

    Raises ModelError, which begins with `where`, if they are damaged, were made for other features or classes, or
    there is only the reason why there is no forest.
    """
    try:
        facts = dict(json.loads((folder / FACTS).read_text(encoding="utf-8")))
        if reason := facts.get("reason"):
            raise ModelError(f"there is no flat model: {reason}", where=where)
        content = (folder / ARRAYS).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        raise ModelError(f"the flat model cannot be read: {error}", where=where, hint=_HINT) from error
    _check(facts, content, where)
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        texts = json.loads(str(arrays["texts"]))
        inputs = FlatInputs(
            loads=tuple(texts["loads"]),
            deviations=arrays["deviations"],
            numbers=tuple(texts["numbers"]),
            labels={name: tuple(labels) for name, labels in texts["labels"].items()},
        )
        trees = FlatTrees(depth=int(arrays["depth"]), **{name: arrays[f"tree_{name}"] for name in _TREES})
    return FlatForest(inputs, trees, Decision.of_text(texts["decision"]))


def _check(facts: Mapping[str, Any], content: bytes, where: str) -> None:
    if hashlib.sha256(content).hexdigest() != facts.get("sha256"):
        what = f"the flat model is damaged: {ARRAYS} has another checksum than {FACTS} tells"
        raise ModelError(what, where=where, hint=_HINT)
    ours = {"format": _FORMAT, "feature_definition": FEATURE_DEFINITION, "classes": list(CLASSES)}
    for name, known in ours.items():
        if facts.get(name) != known:
            what = f"the flat model was made for {name} {facts.get(name)}, this serverload has {known}"
            raise ModelError(what, where=where, hint=_HINT)
