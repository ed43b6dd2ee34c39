"""What becomes of a model's probabilities: calibrated, a class by expected cost, a set with a stated coverage.

It belongs to a model version and is kept with it, so that whoever scores with the version says the same.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from serverload.contracts.classes import CLASSES
from serverload.model.calibration import Calibration
from serverload.model.prediction_sets import Thresholds

Cost = tuple[tuple[float, ...], ...]
"""Cost of saying a class (column) when another came (row), both in the order of CLASSES."""

PLAIN_COST: Cost = tuple(tuple(float(came != said) for said in CLASSES) for came in CLASSES)
"""Every mistake costs the same: the most probable class is said."""


@dataclass(frozen=True)
class Decision:
    """Calibration, cost matrix, and the thresholds of prediction sets by server group ("" for all others).

    Without thresholds there are no sets. The default is that of a version that was registered without any.
    """

    calibration: Calibration = field(default_factory=Calibration)
    cost: Cost = PLAIN_COST
    coverage: float = 0.9
    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)

    def text(self) -> str:
        """It as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of_text(cls, text: str) -> "Decision":
        """Read what `text` has written; an empty text is the default."""
        if not text:
            return cls()
        told = json.loads(text)
        return cls(
            Calibration(tuple(told["calibration"]["slopes"]), tuple(told["calibration"]["shifts"])),
            tuple(map(tuple, told["cost"])),
            told["coverage"],
            {group: tuple(each) for group, each in told["thresholds"].items()},
        )
