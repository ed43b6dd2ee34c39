"""What a server usually carries at an hour of the day, and how its last days compare: the load to expect.

Worked out on the logarithm of the load (log1p), where a server that doubles is doubled at all hours, and on
observed hours alone: an idle hour says nothing of how busy a busy one is.
"""

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.feature_columns import LEVEL_DAYS
from serverload.steps.hours import HourState, ServerHours
from serverload.steps.ordered_sums import Floats, added, days_before, last_days

USUAL_DAYS = 28
_BOTH_KINDS_DAYS = 0.5
"""How many days the mean over workdays and weekends alike counts for in the mean of either."""
_THURSDAY = 3
"""Day of week of day 0, 1970-01-01, with Monday 0."""


def usual_lookback_hours(longest_horizon: int) -> int:
    """How far before a target this looks: the days behind the usual load of the oldest hour that is compared."""
    return longest_horizon + 24 * max(LEVEL_DAYS) - 1 + 23 + 24 * USUAL_DAYS


def usual_loads(server: ServerHours, target_hours: NDArray[np.int64], origins: NDArray[np.int64]) -> dict[str, Floats]:
    """Usual load, expected loads and spread for each target as seen from its origin; NaN where nothing is known."""
    first_day, logs, observed = _day_grid(server)
    weekend = _is_weekend(first_day + np.arange(len(logs)))
    usual = _usual_before_day(logs, observed, weekend)
    own = np.where(weekend[:, None], usual[1], usual[0])
    compared = (observed & ~np.isnan(own)).ravel()
    beyond = np.where(compared, (logs - own).ravel(), 0.0)

    seen = origins >= 24 * first_day
    at = np.where(seen, origins - 24 * first_day, 0)
    kind = _is_weekend(target_hours // 24).astype(np.int64)
    usually = np.where(seen, usual[kind, at // 24, target_hours % 24], np.nan)
    means = {days: _mean_of_last(beyond, compared, days) for days in LEVEL_DAYS}
    level = means[max(LEVEL_DAYS)]
    square = _mean_of_last(beyond * beyond, compared, max(LEVEL_DAYS))
    spread = np.sqrt(np.maximum(square - level * level, 0.0))
    return {
        "usual_load": _load(usually),
        **{
            f"expected_load_{24 * days}h": _load(usually + np.nan_to_num(means[days][at], nan=0.0))
            for days in LEVEL_DAYS
        },
        f"spread_{24 * max(LEVEL_DAYS)}h": np.where(seen, spread[at], np.nan),
    }


def _day_grid(server: ServerHours) -> tuple[int, Floats, NDArray[np.bool_]]:
    """The grid by whole UTC days: number of its first day, log loads and observed hours, shape (days, 24)."""
    before = server.grid_start % 24
    days = max(1, -(-(before + len(server.states)) // 24))
    edges = (before, 24 * days - before - len(server.states))
    observed = np.pad(server.states == HourState.OBSERVED, edges)
    logs = np.log1p(np.maximum(np.where(observed, np.pad(server.peaks[0], edges), 0.0), 0.0))
    return server.grid_start // 24, logs.reshape(days, 24), observed.reshape(days, 24)


def _usual_before_day(logs: Floats, observed: NDArray[np.bool_], weekend: NDArray[np.bool_]) -> Floats:
    """Mean log load by kind of day (workday, weekend), day and hour of day, over the days before the day.

    Shape (2, days, 24). An hour of the day with few days of its kind is drawn to the mean of both kinds, one
    without any observed hour takes the mean of all hours; NaN where those days hold none at all.
    """
    of_kind = observed & (weekend == np.array([[False], [True]]))[:, :, None]
    sums = _over_days(np.where(of_kind, logs, 0.0))
    counts = _over_days(of_kind.astype(np.float64))
    both, hours = sums[0] + sums[1], counts[0] + counts[1]
    all_day = _ratio(added(both), hours.sum(axis=1))[:, None]
    hour_of_day = np.where(hours > 0, _ratio(both, hours), all_day)
    return np.asarray((sums + _BOTH_KINDS_DAYS * hour_of_day) / (counts + _BOTH_KINDS_DAYS))


def _over_days(by_kind: Floats) -> Floats:
    """Sum over the USUAL_DAYS before each day; shape (2, days, 24) in and out."""
    return np.moveaxis(added(days_before(np.moveaxis(by_kind, 1, -1), USUAL_DAYS)), -1, 1)


def _mean_of_last(per_hour: Floats, counted: NDArray[np.bool_], days: int) -> Floats:
    """For each hour the mean over the counted ones of the last days; NaN without any."""
    return _ratio(last_days(per_hour, days), last_days(counted.astype(np.float64), days))


def _ratio(sums: Floats, counts: Floats) -> Floats:
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _load(log_load: Floats) -> Floats:
    return np.maximum(np.expm1(log_load), 0.0)


def _is_weekend(days: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((days + _THURSDAY) % 7 >= 5)
