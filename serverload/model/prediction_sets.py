"""Prediction sets: the classes that an hour will be one of, with a stated coverage (conformal, by class).

A class belongs to the set when its probability reaches that class's threshold: a set is empty where no class does, in
an hour that is anyone's guess among hours most of which are sure. Thresholds come from how probable forecasts had
called what then came; needs numpy alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 1000
"""Probabilities of what came are counted in bins of a thousandth."""

_CLASS_SLACK, _GROUP_SLACK = 0.015, 0.09
"""How far the coverage within one class, and within one server group, may fall below that over all: sets would grow
more than they would tell."""

_LEAST_ROWS = 1000
"""Fewer hours of a group, or of all, say too little of their own."""

_LEAST_ROWS_OF_CLASS = 300
"""A class that came in fewer hours asks for no coverage of its own: one that never came would be in every set."""

RECENT_DAYS = 14
"""Outcomes of so many days tell the thresholds of the day after."""

MOST_ROWS = 1_000_000
"""More outcomes than this are sampled by their key: thresholds need no more, and a large fleet has many times that."""

Counts = NDArray[np.int64]
Thresholds = tuple[float, ...]


def set_thresholds(counts: Counts, coverage: float) -> Thresholds:
    """The highest thresholds per class with which the sets would have covered `coverage` of what came.

    `counts`: shape (3, BINS), for each class the forecasts of hours in which it came, by the probability they had
    given it. Within each class the coverage is at most 1.5 points lower. As in split conformal one more hour, which was
    missed, counts as seen: so the coverage holds for the next hours too, as long as they are alike.
    """
    return _thresholds(_limits_of_all(_reached(counts), coverage))


def thresholds_by_group(
    cells: Sequence[tuple[str, int, int, int]], coverage: float, known: Mapping[str, Thresholds] | None = None
) -> dict[str, Thresholds]:
    """Thresholds per server group from (group, class that came, bin, rows); under "" those of groups without their own.

    Over all, and within each class over all groups, coverage is as `set_thresholds` has it; within each group, over
    all classes, it is at most 9 points lower. A group with fewer than 1000 hours keeps what was `known`, or has
    none of its own. Those under "" are always there, and stay as known where fewer hours than that have come in all.
    """
    names = sorted({group for group, *_ in cells} | {""})
    counts = np.zeros((len(names), 3, BINS), dtype=np.int64)
    for group, came, bin_number, rows in cells:
        counts[names.index(group), came, bin_number] += rows
    if known and counts.sum() < _LEAST_ROWS:
        return dict(known)
    reached = _reached(counts)
    of_all = _limits_of_all(reached.sum(axis=0), coverage)
    own = [name != "" and total >= _LEAST_ROWS for name, total in zip(names, counts.sum(axis=(1, 2)), strict=True)]
    limits = np.tile(of_all, (len(names), 1))
    for place in np.flatnonzero(own):
        limits[place] = _group_limit(reached[place], coverage)
    of_class = _class_limits(reached, limits, coverage)
    made = {name: _thresholds(np.minimum(of_class, limits[place])) for place, name in enumerate(names) if own[place]}
    return dict(known or {}) | made | {"": _thresholds(of_all)}


def _reached(counts: Counts) -> Counts:
    """Of each group and class, the hours whose class was given at least a bin's lower edge."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def _group_limit(reached: Counts, coverage: float) -> int:
    together = reached.sum(axis=0)
    return _last_bin(together >= (coverage - _GROUP_SLACK) * (together[0] + 1))


def _limits_of_all(reached: Counts, coverage: float) -> Counts:
    return _class_limits(reached[None], np.full((1, 3), BINS - 1), coverage)


def _class_limits(reached: Counts, limits: Counts, coverage: float) -> Counts:
    """The highest bin of each class with which it, and all together, are covered.

    `limits`: shape (groups, 3), bins that no group goes above in any case.
    """
    bins = np.arange(BINS)
    covered = np.take_along_axis(reached, np.minimum(bins, limits[..., None]), axis=2).sum(axis=0)
    totals = reached[..., 0].sum(axis=0)
    wanted = coverage * (totals.sum() + 1)
    of_class = (coverage - _CLASS_SLACK) * (totals + 1)
    own = np.array([_last_bin(each >= least) for each, least in zip(covered, of_class, strict=True)])
    own[totals < _LEAST_ROWS_OF_CLASS] = _last_bin(covered.sum(axis=0) >= wanted)
    together = np.take_along_axis(covered, np.minimum(bins, own[:, None]), axis=1).sum(axis=0)
    limited: Counts = np.minimum(own, _last_bin(together >= wanted))
    return limited


def _thresholds(limits: Counts) -> Thresholds:
    return tuple(float(each) / BINS for each in limits)


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
