"""The load of a fleet, day by day: what is known of each hour, and what was drawn for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import holidays
import numpy as np
from numpy.typing import NDArray

from producers.fleet import FORESIGHT_HOURS, Fleet, Floats, Integers

DRIFT_KEPT_PER_DAY = 0.8
"""AR(1) coefficient of the day drift of the log load."""

ORIGIN_DAYS = FORESIGHT_HOURS // 24

UNITS_PER_LOAD = 1000
"""Loads are drawn as whole thousandths, so that sums are exact."""

LEAST_UNITS = 20
DRIFT_STREAM, DAY_STREAM = 2, 3
SHIFTS_PER_DAY = 1 / 120
SHIFT_SD = 0.5
IDLE_PERIODS_PER_DAY = 1 / 150
IDLE_HOURS = (6, 72)
"""A planned idle period lasts so many whole hours, each number equally likely."""
OUTAGES_PER_DAY = 1 / 45

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class FleetDay:
    """One day of the fleet; arrays are servers x 24 hours, `silent` is one flag per hour.

    `foreseen_log_load` is the log load's mean as known 48 hours before if no level shift comes meanwhile,
    `foreseen_idle` the chance of an hour without sessions as known then, `peak_units` the hour's peak 5-minute load in
    thousandths (0 where idle).
    """

    index: int
    day: date
    alive: Flags
    silent: Flags
    foreseen_log_load: Floats
    foreseen_idle: Floats
    peak_units: Integers

    @property
    def observed(self) -> Flags:
        """Hours with sessions."""
        return self.peak_units > 0


@dataclass(frozen=True)
class _DayState:
    """What a day leaves to be known: servers x 24 hours, the level shifts so far and hours of a planned idle period."""

    shifts: Floats
    idle_for: Integers


class LoadModel:
    """Steps through the days of a fleet: `log load = level + trend + shifts + pattern + drift + noise`.

    Each day has its own random stream and the state is carried in order, so the first days of a longer
    history are those of a shorter one. Memory does not grow with the days.
    """

    def __init__(self, fleet: Fleet, start: date, seed: int) -> None:
        self._fleet, self._start, self._seed = fleet, start, seed
        self._holidays = holidays.country_holidays("US")
        self._shifted = np.zeros(fleet.size)
        self._idle_begun = np.zeros(fleet.size, dtype=np.int64)
        self._idle_until = np.zeros(fleet.size, dtype=np.int64)
        self._past = [_DayState(np.zeros((fleet.size, 24)), np.zeros((fleet.size, 24), np.int64))] * ORIGIN_DAYS
        random = np.random.default_rng((seed, DRIFT_STREAM))
        self._drifts = [random.normal(0.0, 1.0, fleet.size)]
        for _ in range(ORIGIN_DAYS):
            self._drifts.append(_next_drift(self._drifts[-1], random))

    def days(self, count: int) -> Iterator[FleetDay]:
        """Draw `count` days from the start; once per model, since the state moves on."""
        for index in range(count):
            yield self._day(index, day_random(self._seed, DAY_STREAM, index))

    def _day(self, index: int, random: np.random.Generator) -> FleetDay:
        fleet, day = self._fleet, self._start + timedelta(days=index)
        hours = index * 24 + np.arange(24)
        alive = (hours >= fleet.first_hour[:, None]) & (hours <= fleet.last_hour[:, None])
        self._drifts = [*self._drifts[1:], _next_drift(self._drifts[-1], random)]
        pattern, shifts = self._pattern(index, day), self._shifts(random)
        drift = fleet.drift_sd[:, None]
        mean = pattern + shifts + drift * self._drifts[-1][:, None]
        idle_for = self._idle_for(hours, random)
        before, self._past = self._past[0], [*self._past[1:], _DayState(shifts, idle_for)]
        foreseen = pattern + before.shifts + drift * self._drifts[0][:, None] * DRIFT_KEPT_PER_DAY**ORIGIN_DAYS
        silent = _outage(random)
        units = _drawn_units(fleet, mean, random)
        by_chance = self._idle_by_chance(hours)
        idle = random.random(mean.shape) < np.where(idle_for > 0, 1.0, by_chance)
        units = np.where(alive & ~idle & ~silent, units, 0)
        busy = fleet.survival(hours) * (1 - by_chance) * (1 - idle_ahead(before.idle_for, fleet.ever_idle))
        return FleetDay(index, day, alive, silent, foreseen, 1 - busy, units)

    def _pattern(self, index: int, day: date) -> Floats:
        """Level, trend, time of day, weekend and US federal holiday; a holiday counts as one, not as a weekend."""
        fleet, phase = self._fleet, (np.arange(24) - self._fleet.busiest_hour[:, None]) * (2 * np.pi / 24)
        swing = fleet.daily_swing[:, None] * (np.cos(phase) + 0.25 * np.cos(2 * phase))
        rest = fleet.weekend_step * (day.weekday() >= 5)
        if day in self._holidays:
            rest = fleet.holiday_step
        base = fleet.log_level + fleet.trend_per_day * index + rest
        return np.asarray(base[:, None] + swing, dtype=np.float64)

    def _shifts(self, random: np.random.Generator) -> Floats:
        """The level shifts so far, this day's from its hour on."""
        size = self._fleet.size
        step = np.where(random.random(size) < SHIFTS_PER_DAY, random.normal(0.0, SHIFT_SD, size), 0.0)
        begins = random.integers(0, 24, size)
        before = self._shifted[:, None]
        self._shifted = self._shifted + step
        return np.asarray(np.where(np.arange(24) >= begins[:, None], before + step[:, None], before), dtype=np.float64)

    def _idle_for(self, hours: Integers, random: np.random.Generator) -> Integers:
        """How many hours of a planned idle period each hour ends, itself included; 0 in none."""
        fleet = self._fleet
        begins = (random.random(fleet.size) < IDLE_PERIODS_PER_DAY) & fleet.ever_idle
        from_hour = hours[0] + random.integers(0, 24, fleet.size)
        until_hour = from_hour + random.integers(IDLE_HOURS[0], IDLE_HOURS[1] + 1, fleet.size)
        begun = begins[:, None] & (hours >= from_hour[:, None])
        idle = (hours < self._idle_until[:, None]) | (begun & (hours < until_hour[:, None]))
        since = np.where(begun, from_hour[:, None], self._idle_begun[:, None])
        self._idle_begun = np.where(begins, from_hour, self._idle_begun)
        self._idle_until = np.where(begins, np.maximum(self._idle_until, until_hour), self._idle_until)
        return np.where(idle, hours - since + 1, 0)

    def _idle_by_chance(self, hours: Integers) -> Floats:
        """Chance of an idle hour outside planned periods: 1 in idle nights."""
        fleet = self._fleet
        asleep = (hours % 24) < fleet.night_idle_hours[:, None]
        return np.where(asleep, 1.0, fleet.idle_probability[:, None])


def idle_ahead(idle_for: Integers, ever_idle: Flags) -> Floats:
    """Chance of a planned idle period 48 hours on, where one that is under way has lasted `idle_for` hours (0: none).

    Exact but for two rare things: a period that begins while another is under way, and that a day begins one at most.
    """
    ahead = 24 * ORIGIN_DAYS
    begins = IDLE_PERIODS_PER_DAY / 24 * _lasts(np.arange(1, ahead + 1)).sum()
    goes_on = np.where(idle_for > 0, _lasts(idle_for + ahead) / np.maximum(_lasts(idle_for), 1e-9), 0.0)
    return np.where(ever_idle[:, None], 1 - (1 - goes_on) * (1 - begins), 0.0)


def _lasts(hours: Integers) -> Floats:
    """Chance that a planned idle period has at least so many hours."""
    least, most = IDLE_HOURS
    return np.clip((most + 1 - hours) / (most + 1 - least), 0.0, 1.0)


def day_random(seed: int, stream: int, index: int) -> np.random.Generator:
    """The random numbers of one day and purpose (numpy takes (7, 3) and (7, 3, 0) for the same seed, so no 0)."""
    return np.random.default_rng((seed, stream, index + 1))


def _next_drift(drift: Floats, random: np.random.Generator) -> Floats:
    """One AR(1) step of a drift with standard deviation 1."""
    fresh_sd: float = np.sqrt(1 - DRIFT_KEPT_PER_DAY**2)
    return DRIFT_KEPT_PER_DAY * drift + fresh_sd * random.normal(0.0, 1.0, drift.size)


def _outage(random: np.random.Generator) -> Flags:
    """The hours of the day in which the whole fleet is silent: rarely 1..6 hours, else none."""
    happens, first, length = random.random() < OUTAGES_PER_DAY, random.integers(0, 24), random.integers(1, 7)
    hour = np.arange(24)
    return np.asarray(happens & (hour >= first) & (hour < first + length), dtype=np.bool_)


def _drawn_units(fleet: Fleet, mean_log_load: Floats, random: np.random.Generator) -> Integers:
    shape = mean_log_load.shape
    burst = random.random(shape) < fleet.burst_probability[:, None]
    noise = fleet.noise_sd[:, None] * random.normal(0.0, 1.0, shape)
    log_load = mean_log_load + noise + burst * fleet.burst_step[:, None]
    units: Floats = np.rint(np.exp(np.minimum(log_load, 15.0)) * UNITS_PER_LOAD)
    return np.maximum(units, LEAST_UNITS).astype(np.int64)
