"""The three workload classes and the fixed-point numbers they are told by."""

from enum import StrEnum

MICROS = 1_000_000
"""Measures are held as whole millionths, so that no order of adding shows."""

MICROS_LIMIT = 9_000_000_000_000_000_000
"""Sums beyond 9e12 are held at that limit instead of overflowing 64 bits."""


SAME_PROBABILITY = 1e-9
"""Probabilities so near to each other are the same."""


class WorkloadClass(StrEnum):
    """The class of an hour's peak load, in ascending order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


CLASSES: tuple[str, ...] = tuple(WorkloadClass)
"""Class names in order; a class's position is its label index in the model."""

RELIABILITY_BINS = 15
"""Equal bins of the probabilities from 0 to 1, in which what was said is held against what came."""
