"""Prediction sets: the classes that an hour will be one of, with a stated coverage (conformal, by class).

A class belongs to the set when its probability reaches that class's threshold. Thresholds come from how probable
forecasts had called what then came; needs numpy alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 1000
"""Probabilities of what came are counted in bins of a thousandth."""

_CLASS_SLACK = 0.02
"""How far the coverage within one class may fall below that over all: sets would grow more than they would tell."""

_LEAST_ROWS = 300
"""Fewer rows of a class say too little of their own; a group with such a class takes the thresholds of all."""

RECENT_DAYS = 14
"""Outcomes of so many days tell the thresholds of the day after."""

MOST_ROWS = 1_000_000
"""More outcomes than this are sampled by their key: thresholds need no more, and a large fleet has many times that."""

Counts = NDArray[np.int64]
Thresholds = tuple[float, ...]


def set_thresholds(counts: Counts, coverage: float) -> Thresholds:
    """The highest thresholds per class with which the sets would have covered `coverage` of what came.

    `counts`: shape (3, BINS), for each class the forecasts of hours in which it came, by the probability they had
    given it: in the last bin where they had said it, for then it is in the set anyhow. Within each class the coverage
    is at most 2 points lower. As in split conformal one more hour, which was missed, counts as seen: so the coverage
    holds for the next hours too, as long as they are alike.
    """
    reached = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]  # of each class, those given at least the bin's lower edge
    totals = counts.sum(axis=1)
    own = [
        _last_bin(each >= (coverage - _CLASS_SLACK) * (total + 1)) for each, total in zip(reached, totals, strict=True)
    ]
    together = np.zeros(BINS)
    for each, limit in zip(reached, own, strict=True):
        together += each[np.minimum(np.arange(BINS), limit)]
    common = _last_bin(together >= coverage * (totals.sum() + 1))
    return tuple(min(common, limit) / BINS for limit in own)


def thresholds_by_group(
    cells: Sequence[tuple[str, int, int, int]], coverage: float, known: Mapping[str, Thresholds] | None = None
) -> dict[str, Thresholds]:
    """Thresholds per server group from (group, class that came, bin, rows); under "" those of all together.

    A group with fewer than 300 hours of some class keeps those that were `known`, or has none of its own: those of all
    hold for it. These are always there, unless they are known and as few hours say otherwise.
    """
    by_group: dict[str, Counts] = {"": np.zeros((3, BINS), dtype=np.int64)}
    for group, came, bin_number, rows in cells:
        for name in {"", group}:
            by_group.setdefault(name, np.zeros((3, BINS), dtype=np.int64))[came, bin_number] += rows
    made = dict(known or {"": set_thresholds(by_group[""], coverage)})
    enough = (name for name, counts in by_group.items() if counts.sum(axis=1).min() >= _LEAST_ROWS)
    return made | {name: set_thresholds(by_group[name], coverage) for name in sorted(enough)}


def split_threshold(cells: Sequence[tuple[str, int, int, int]], coverage: float) -> float:
    """The one threshold, for every class and group, of split conformal from the same cells: for comparison."""
    counts = np.zeros(BINS, dtype=np.int64)
    for _group, _came, bin_number, rows in cells:
        counts[bin_number] += rows
    reached = np.cumsum(counts[::-1])[::-1]
    return _last_bin(reached >= coverage * (counts.sum() + 1)) / BINS


def drawn_below(rows: int) -> str:
    """Of so many outcomes those are drawn whose key's md5 is below this text: all, or about MOST_ROWS of them.

    The key is `server_ip/issued_hour in seconds/horizon_hours`: a digest that every engine knows draws the same rows.
    """
    return "g" if rows <= MOST_ROWS else f"{int(MOST_ROWS / rows * 16**8):08x}"


def _last_bin(reached: NDArray[np.bool_]) -> int:
    """The last bin whose lower edge still is low enough; 0, which takes every probability, where none is."""
    found = np.flatnonzero(reached)
    return int(found[-1]) if found.size else 0
