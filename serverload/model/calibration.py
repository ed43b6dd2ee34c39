"""Calibration: a forest's probabilities drawn to how often the classes came, on days that it was not fitted on.

Needs numpy alone: the Spark pipeline and the scorer without Spark share the arithmetic below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST = 1e-6
"""Probabilities are held this far from 0 and 1, where log-odds have no end."""

_LEAST_SLOPE, _LARGEST_SLOPE = 0.2, 5.0
_PRIOR_ROWS = 20.0
"""The fit is drawn to "leave as it is" as if by this many rows: a few days of one server change nothing."""

BINS = 240
_BIN_WIDTH = 28.0 / BINS


@dataclass(frozen=True)
class Arithmetic:
    """What calibrating needs beside + - * /: numpy's functions for arrays, Spark's for columns."""

    exp: Callable[[Any], Any]
    log: Callable[[Any], Any]
    larger: Callable[[Any, Any], Any]
    smaller: Callable[[Any, Any], Any]


_ARRAYS = Arithmetic(np.exp, np.log, np.maximum, np.minimum)


@dataclass(frozen=True)
class Calibration:
    """A straight line through the log-odds of `low`, and one through those of `low or medium`."""

    slopes: tuple[float, float] = (1.0, 1.0)
    shifts: tuple[float, float] = (0.0, 0.0)

    @property
    def changes(self) -> bool:
        """Whether it does anything; if not, probabilities stay as they are, to the last bit."""
        return self.slopes != (1.0, 1.0) or self.shifts != (0.0, 0.0)

    def applied(self, probabilities: Floats) -> Floats:
        """Calibrated probabilities, shape (n, 3) in and out, in the order of CLASSES."""
        if not self.changes:
            return probabilities
        low, medium, _high = probabilities.T
        return np.stack(self.of(low, medium, _ARRAYS), axis=1)

    def of(self, low: Any, medium: Any, how: Arithmetic) -> tuple[Any, Any, Any]:
        """The three calibrated probabilities, as arrays or as columns, from the first two."""
        cumulated = (low, low + medium)
        drawn = [
            1 / (1 + how.exp(-(slope * log_odds(each, how) + shift)))
            for each, slope, shift in zip(cumulated, self.slopes, self.shifts, strict=True)
        ]
        not_high = how.larger(drawn[0], drawn[1])
        return drawn[0], not_high - drawn[0], 1 - not_high


def log_odds(probability: Any, how: Arithmetic = _ARRAYS) -> Any:
    """Log-odds of probabilities held a millionth away from 0 and 1."""
    held = how.smaller(how.larger(probability, _LEAST), 1 - _LEAST)
    return how.log(held / (1 - held))


def bin_of(odds: Any) -> Any:
    """Number of the bin that log-odds fall into, not yet whole: `floor` it."""
    return odds / _BIN_WIDTH + BINS / 2


def fitted_calibration(rows: Floats, came: Floats) -> Calibration:
    """Fit on counts by day, border and bin of log-odds, shape (days, 2, BINS): all rows, and those at or below.

    Border 0 lies above `low`, border 1 above `medium`. It is kept only if it would have helped: fitted on every
    other day it has to give the days between a lower log-loss, both ways; else nothing is changed.
    """
    lines = [_line(rows[:, border].sum(axis=0), came[:, border].sum(axis=0)) for border in (0, 1)]
    halves = (np.arange(len(rows)) % 2 == 0, np.arange(len(rows)) % 2 == 1)
    if len(rows) < 2 or any(_gain(rows, came, fit, test) <= 0 for fit, test in (halves, halves[::-1])):
        return Calibration()
    return Calibration((lines[0][0], lines[1][0]), (lines[0][1], lines[1][1]))


def _gain(rows: Floats, came: Floats, fit: NDArray[np.bool_], test: NDArray[np.bool_]) -> float:
    """How much lower the summed log-loss at both borders is on some days by a fit on others."""
    gained = 0.0
    for border in (0, 1):
        slope, shift = _line(rows[fit, border].sum(axis=0), came[fit, border].sum(axis=0))
        tested = (rows[test, border].sum(axis=0), came[test, border].sum(axis=0))
        gained += _loss(1.0, 0.0, *tested) - _loss(slope, shift, *tested)
    return gained


def _line(rows: Floats, came: Floats) -> tuple[float, float]:
    """Slope and shift of the log-odds that fit counts per bin best, by Newton's method."""
    odds, line = _centres(), np.array([1.0, 0.0])
    inputs = np.stack((odds, np.ones_like(odds)))
    for _ in range(25):
        chance = 1 / (1 + np.exp(-(line @ inputs)))
        slack = inputs @ (came - rows * chance) - _PRIOR_ROWS * (line - (1.0, 0.0))
        bend = (inputs * (rows * chance * (1 - chance))) @ inputs.T + _PRIOR_ROWS * np.eye(2)
        step = np.linalg.solve(bend, slack)
        line = line + np.clip(step, -1.0, 1.0)
    return float(np.clip(line[0], _LEAST_SLOPE, _LARGEST_SLOPE)), float(line[1])


def _loss(slope: float, shift: float, rows: Floats, came: Floats) -> float:
    odds = slope * _centres() + shift
    return float(came @ np.logaddexp(0, -odds) + (rows - came) @ np.logaddexp(0, odds))


def _centres() -> Floats:
    return np.asarray((np.arange(BINS) + 0.5 - BINS / 2) * _BIN_WIDTH)
