"""What a synthetic history is known to be: true class probabilities and what came, per server and hour."""

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from producers.fleet import Fleet, Floats, Integers
from producers.load_model import DRIFT_KEPT_PER_DAY, ORIGIN_DAYS, SHIFT_SD, SHIFTS_PER_DAY, UNITS_PER_LOAD, FleetDay
from serverload.contracts.classes import CLASSES

RETIRED_AFTER_HOURS = 168
"""Hours without sessions after which a server is retired and has no truth; as in the settings' default."""

_NORMAL = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)), otypes=[float])

TRUTH_SCHEMA = pa.schema(
    [
        ("server_ip", pa.string()),
        ("hour", pa.timestamp("us", tz="UTC")),
        ("probability_low", pa.float64()),
        ("probability_medium", pa.float64()),
        ("probability_high", pa.float64()),
        ("status", pa.string()),
        ("actual_class", pa.string()),
        ("actual_peak_load", pa.float64()),
    ]
)
"""`status` is observed, idle (none, but some other server has) or missing (the whole fleet is silent)."""


class Truth:
    """Makes the truth of each day; carries when each server was last and first observed.

    Probabilities are those of one who knows the model, each server's parameters, and how things stood 48 hours before:
    drift, level shifts so far, whether a planned idle period was under way and since when, who had died. What came in
    these 48 hours counts by how often it comes. An idle hour is low. `missing` hours (whole fleet silent) have no
    probabilities; hours before a server's first session and retired ones have no row.
    """

    def __init__(self, fleet: Fleet, low_max: float, medium_max: float) -> None:
        self._fleet, self._low_max, self._medium_max = fleet, low_max, medium_max
        self._last_observed = np.full(fleet.size, -1, dtype=np.int64)

    def rows(self, day: FleetDay) -> pa.Table:
        """The day's rows as TRUTH_SCHEMA, ordered by server and hour; days must come in order."""
        known = _newest_observed(day, self._last_observed)
        self._last_observed = known[:, -1]
        hours = day.index * 24 + np.arange(24)
        kept = (known >= 0) & (hours - known <= RETIRED_AFTER_HOURS)
        silent = ~day.observed.any(axis=0) & kept
        low, low_or_medium = (self._at_most(day, bound) for bound in (self._low_max, self._medium_max))
        status = np.where(day.observed, "observed", np.where(silent, "missing", "idle"))
        server, hour = np.nonzero(kept)
        start = np.datetime64(day.day, "us") + hour.astype("timedelta64[h]")
        columns = [
            pa.array(np.array(self._fleet.server_ips)[server]),
            pa.array(start, pa.timestamp("us", tz="UTC")),
            *(pa.array(each[kept], mask=silent[kept]) for each in (low, low_or_medium - low, 1.0 - low_or_medium)),
            pa.array(status[kept]),
            pa.array(self._classes(day.peak_units[kept]), mask=silent[kept]),
            pa.array(day.peak_units[kept] / UNITS_PER_LOAD, mask=silent[kept]),
        ]
        return pa.Table.from_arrays(columns, schema=TRUTH_SCHEMA)

    def _at_most(self, day: FleetDay, bound: float) -> Floats:
        """Probability that the hour's peak load is at most `bound`, idle hours included."""
        fleet = self._fleet
        drift_left = fleet.drift_sd**2 * (1 - DRIFT_KEPT_PER_DAY ** (2 * ORIGIN_DAYS))
        variance = (fleet.noise_sd**2 + drift_left)[:, None]
        rounded_bound = math.log(bound + 0.5 / UNITS_PER_LOAD)  # loads are rounded to whole thousandths
        burst = fleet.burst_probability[:, None]

        def below(sd: Floats) -> Floats:
            z = (rounded_bound - day.foreseen_log_load) / sd
            return np.asarray((1 - burst) * _NORMAL(z) + burst * _NORMAL(z - fleet.burst_step[:, None] / sd))

        steady = (1 - SHIFTS_PER_DAY) ** ORIGIN_DAYS
        busy = steady * below(np.sqrt(variance)) + (1 - steady) * below(np.sqrt(variance + SHIFT_SD**2))
        return np.asarray(day.foreseen_idle + (1 - day.foreseen_idle) * busy, dtype=np.float64)

    def _classes(self, units: Integers) -> NDArray[np.str_]:
        bounds = np.rint(np.array([self._low_max, self._medium_max]) * UNITS_PER_LOAD)
        return np.array(CLASSES)[np.searchsorted(bounds, units, side="left")]


def _newest_observed(day: FleetDay, last_observed: Integers) -> Integers:
    """The last observed hour up to and including each hour of the day; -1 where there is none yet."""
    hours = day.index * 24 + np.arange(24)
    seen = np.where(day.observed, hours, last_observed[:, None])
    return np.maximum.accumulate(seen, axis=1)
