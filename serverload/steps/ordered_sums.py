"""Sums that add in a fixed order, so that the same hours give the same bits wherever a grid starts."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def added(parts: Floats) -> Floats:
    """Sum over the last axis strictly from left to right: numpy's own sum chooses its order by shape."""
    total = np.zeros(parts.shape[:-1])
    for part in np.moveaxis(parts, -1, 0):
        total += part
    return total


def days_before(per_day: Floats, days: int) -> Floats:
    """For each day (last axis) the days before it, oldest first, as one axis more; days before the first are 0."""
    padded = np.pad(per_day, [(0, 0)] * (per_day.ndim - 1) + [(days, 0)])
    return np.lib.stride_tricks.sliding_window_view(padded, days, axis=-1)[..., :-1, :]


def last_24_hours(per_hour: Floats) -> Floats:
    """For each hour the sum over it and the 23 before it; hours before the first are 0."""
    return added(np.lib.stride_tricks.sliding_window_view(np.pad(per_hour, (23, 0)), 24))


def last_days(per_hour: Floats, days: int) -> Floats:
    """For each hour the sum over the last `days` times 24 hours, added day by day, the newest first."""
    day = np.pad(last_24_hours(per_hour), (24 * days, 0))
    starts = (24 * (days - back) for back in range(days))
    return added(np.stack([day[start : start + len(per_hour)] for start in starts], axis=-1))
