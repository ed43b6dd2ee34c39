"""What the watch of the registry leaves in a folder for the processes that answer: the model, and how it stands."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_FILE = "standing.json"


@dataclass(frozen=True)
class PlacedModel:
    """A version whose flat forest lies in `folder`, and the horizons (h) that alone it can forecast, if any."""

    name: str
    version: str
    folder: str
    only_horizons: tuple[int, ...] | None


@dataclass(frozen=True)
class Standing:
    """The last good model, what is wrong with the champion or the registry ("": nothing), and all versions.

    `looked_at`: when the registry was last asked, seconds since 1970.
    """

    model: PlacedModel | None = None
    trouble: str = ""
    looked_at: float = 0.0
    versions: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def leave(standing: Standing, folder: Path) -> None:
    """Write it; a reader meets the old one or the new one."""
    made = folder / f".{_FILE}"
    made.write_text(json.dumps(asdict(standing)), encoding="utf-8")
    made.replace(folder / _FILE)


def left(folder: Path) -> Standing:
    """Read it; nothing known yet where nothing was left."""
    try:
        told = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Standing()
    model = told.pop("model")
    if model and model["only_horizons"] is not None:
        model["only_horizons"] = tuple(model["only_horizons"])
    return Standing(model=PlacedModel(**model) if model else None, **told)


def mark(folder: Path) -> tuple[int, int] | None:
    """What changes when another one is left."""
    try:
        told = os.stat(folder / _FILE)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return told.st_ino, told.st_mtime_ns
