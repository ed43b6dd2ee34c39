"""What a server itself was like at an hour of the day: class frequencies of its last 28 days, and how much is known.

For forecasts that a model has too little to go by; a pure function of one server's hours up to the origin.
"""

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES
from serverload.steps.hours import ServerHours
from serverload.steps.labels import class_index

RECENT_HOURS, KNOWN_DAYS = 168, 28
_PRIOR_HOURS = 2.0
"""How many hours the frequencies over all hours of the day count for in those of one."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def own_climatology(
    server: ServerHours, target_hours: Integers, origins: Integers, *, low_max: float, medium_max: float
) -> tuple[Floats, Integers, Integers]:
    """Smoothed class frequencies, shape (n, 3), and the hours that are known of the last 168 and of the last 672.

    Only hours that count (observed or idle) up to and including the origin are looked at. Frequencies are NaN where
    no hour is known. The grid has to reach 28 days before each origin, or to the server's first hour.
    """
    counts = _counts(server, low_max, medium_max)
    overall = np.cumsum(counts, axis=1)
    by_hour = np.cumsum(counts.reshape(len(CLASSES), -1, 24), axis=1).reshape(counts.shape)
    end = origins - server.grid_start + 24 * (KNOWN_DAYS + 1)
    same_hour = end - (origins - target_hours) % 24
    in_all = overall[:, end] - overall[:, end - 24 * KNOWN_DAYS]
    in_hour = by_hour[:, same_hour] - by_hour[:, same_hour - 24 * KNOWN_DAYS]
    recent = (overall[:, end] - overall[:, end - RECENT_HOURS]).sum(axis=0)
    known = in_all.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        frequencies = (in_hour + _PRIOR_HOURS * (in_all / known)) / (in_hour.sum(axis=0) + _PRIOR_HOURS)
    return frequencies.T, recent, known


def _counts(server: ServerHours, low_max: float, medium_max: float) -> Integers:
    """For each class 1 in the hours in which it came; 29 days without any stand before the grid, shape (3, hours).

    Hours are padded at the end to whole days, counted from the start of the grid.
    """
    came = class_index(np.where(server.counting, server.peaks[0], np.nan), low_max=low_max, medium_max=medium_max)
    one_hot = came == np.arange(len(CLASSES))[:, None]
    before, after = 24 * (KNOWN_DAYS + 1), -len(server.states) % 24
    return np.pad(one_hot, ((0, 0), (before, after))).astype(np.int64)
