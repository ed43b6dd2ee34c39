"""What the measurements share: a clock, and where their figures are kept."""

import json
import time
from collections.abc import Callable
from pathlib import Path

OUT = Path(__file__).parent / "out"


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def keep(name: str, figures: object) -> None:
    """Write figures to bench/out/NAME.json."""
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(figures, indent=1))
