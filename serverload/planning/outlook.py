"""What is to come of some servers, as arrays to plan with: how likely each class is, and what it means in load."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES, MICROS
from serverload.contracts.plan_settings import PLAN_HOURS
from serverload.steps.labels import class_index
from serverload.steps.own_climatology import KNOWN_DAYS

Floats = NDArray[np.float64]

HISTORY_HOURS = 24 * KNOWN_DAYS
"""A server's loads within a class are taken from so many of its last hours."""

_SPREAD = 2
"""Hours of the day so far before and after count as the same hour of the day."""
_LEAST = 20
"""With fewer hours of a class near an hour of the day all of that class count; with fewer still, its upper bound."""

TAILS: Floats = np.append(0.5 ** (np.arange(1, 29) / 2), 0.0)
"""Chances of more than each level of `load_levels`: each 0.71 times the one before, the last 0."""
SHARES: Floats = -np.diff(TAILS, prepend=1.0)
"""Probability between one level and the next; the upper one counts, so that risks are 1.41 times too high at most."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """Servers x the PLAN_HOURS hours after an issued hour.

    `probabilities`: shape (servers, hours, 3), as CLASSES. `said`: (servers, hours), index of the class that is
    forecast. `past`: (servers, HISTORY_HOURS), peak loads up to and including the issued hour, NaN where not known.
    `groups`: the group of each server; those of none ("") are never merged. `low_max`, `medium_max`: loads.
    """

    servers: tuple[str, ...]
    groups: tuple[str, ...]
    probabilities: Floats
    said: NDArray[np.int64]
    past: Floats
    low_max: float
    medium_max: float

    @property
    def high(self) -> Floats:
        """Probability of high; shape (servers, hours)."""
        return self.probabilities[:, :, -1]


def load_levels(outlook: Outlook) -> Floats:
    """Loads in micros that an hour, if it is not high, exceeds with the chances TAILS at most; ascending.

    Shape (servers, hours, levels). Low and medium come with their probabilities, and within each the server's own
    loads of that class at about that hour of the day, each as likely as another.
    """
    past = np.rint(outlook.past * MICROS)
    near, everywhere = np.sort(_near_each_hour(past)), np.sort(past)[:, None, :]
    low, medium = (np.rint(bound * MICROS) for bound in (outlook.low_max, outlook.medium_max))
    days = outlook.probabilities.reshape(len(outlook.servers), PLAN_HOURS // 24, 24, len(CLASSES))
    either = days[..., 0] + days[..., 1]
    low_share = np.divide(days[..., 0], either, out=np.zeros_like(either), where=either > 0)[..., None]
    level = 1.0 - TAILS
    within_low = np.minimum(level / np.maximum(low_share, 1e-300), 1.0)
    within_medium = np.clip((level - low_share) / np.maximum(1.0 - low_share, 1e-300), 0.0, 1.0)
    loads = np.where(
        level <= low_share,
        _of_class(near, everywhere, -1.0, low, within_low),
        _of_class(near, everywhere, low, medium, within_medium),
    )
    return loads.reshape(len(outlook.servers), PLAN_HOURS, len(TAILS))


def expected_loads(outlook: Outlook) -> Floats:
    """Mean load of each hour, shape (servers, hours); of high hours a server that had none is given `medium_max`."""
    unknown = (outlook.low_max, outlook.medium_max, outlook.medium_max)
    thresholds = {"low_max": outlook.low_max, "medium_max": outlook.medium_max}
    near, everywhere = _near_each_hour(outlook.past), outlook.past[:, None, :]
    of_near, of_all = class_index(near, **thresholds), class_index(everywhere, **thresholds)
    means = [
        _mean(near, of_near == index, _LEAST, _mean(everywhere, of_all == index, 1, otherwise))
        for index, otherwise in enumerate(unknown)
    ]
    of_hours = np.tile(np.stack(means, axis=-1), (1, PLAN_HOURS // 24, 1))
    return np.asarray((outlook.probabilities * of_hours).sum(axis=-1))


def _near_each_hour(past: Floats) -> Floats:
    """Loads at about the hour of the day of each of the first 24 hours to come; shape (servers, 24, loads)."""
    (servers, hours), alike = past.shape, 2 * _SPREAD + 1
    padded = np.pad(past, ((0, 0), (_SPREAD, _SPREAD)), constant_values=np.nan)
    near = np.stack([padded[:, step : step + hours] for step in range(alike)], axis=-1)
    by_day = near.reshape(servers, hours // 24, 24, alike)
    return by_day.swapaxes(1, 2).reshape(servers, 24, hours // 24 * alike)


def _of_class(near: Floats, everywhere: Floats, above: float, up_to: float, share: Floats) -> Floats:
    """The load that a share of the hours of a class does not exceed; `share` has shape (servers, days, 24, levels)."""
    found = np.full(share.shape, up_to)
    for loads in (everywhere, near):
        first = (loads <= above).sum(axis=-1)[:, None, :, None]
        count = (loads <= up_to).sum(axis=-1)[:, None, :, None] - first
        place = first + np.clip(np.ceil(share * count).astype(np.int64) - 1, 0, np.maximum(count - 1, 0))
        loads = np.broadcast_to(loads, (len(loads), 24, loads.shape[-1]))[:, None]
        taken = np.take_along_axis(loads, np.minimum(place, loads.shape[-1] - 1), axis=-1)
        found = np.where(count >= _LEAST, taken, found)
    return found


def _mean(loads: Floats, inside: NDArray[np.bool_], least: int, otherwise: Floats | float) -> Floats:
    """Mean along the last axis of what is inside; `otherwise` where there are fewer than `least`."""
    count = inside.sum(axis=-1)
    total = np.where(inside, loads, 0.0).sum(axis=-1)
    return np.where(count >= least, total / np.maximum(count, 1), otherwise)
