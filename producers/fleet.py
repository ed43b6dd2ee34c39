"""The servers of a synthetic fleet: what each one's load is made of, drawn once from the seed."""

import ipaddress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NOISE_SD: dict[str, float] = {"low": 0.15, "medium": 0.3, "high": 0.6}
"""Noise name -> sd of the hourly noise of the log load; its day drift has a third of that."""

DRIFT_OF_NOISE = 1 / 3
KINDS = ("stable", "patterned", "erratic")
KIND_SHARES = (0.45, 0.45, 0.10)
ARTICLE_SERVERS = ("115.220.193.16", "210.181.165.92")
"""The two servers that the article's own debug runs keep; the first two of every fleet."""

FORESIGHT_HOURS = 48
"""The truth of an hour is what can be known so long before it."""
MORTAL_SHARE, LIVED_DAYS = 0.08, (4, 300)
FLEET_STREAM = 1
NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Fleet:
    """The parameters of the load model; each array has one entry per server, loads are natural logs."""

    server_ips: tuple[str, ...]
    kind: Integers
    log_level: Floats
    trend_per_day: Floats
    daily_swing: Floats
    busiest_hour: Floats
    weekend_step: Floats
    holiday_step: Floats
    noise_sd: Floats
    drift_sd: Floats
    burst_probability: Floats
    burst_step: Floats
    idle_probability: Floats
    night_idle_hours: Integers
    first_hour: Integers
    last_hour: Integers
    server_type: Integers

    @property
    def size(self) -> int:
        """Number of servers."""
        return len(self.server_ips)

    @property
    def ever_idle(self) -> NDArray[np.bool_]:
        """Servers that have planned idle periods: all but the first."""
        return np.arange(self.size) > 0

    def survival(self, hours: Integers) -> Floats:
        """Chance, servers x hours, that a server lives at an hour, as known 48 hours before: 0 where it had died."""
        age, dead = hours - self.first_hour[:, None], hours - FORESIGHT_HOURS > self.last_hour[:, None]
        chance = _survival(age) / _survival(age - FORESIGHT_HOURS)
        chance[0] = 1.0
        return np.where(dead, 0.0, chance)

    @property
    def kind_names(self) -> tuple[str, ...]:
        """Kind of each server: stable, patterned or erratic."""
        return tuple(KINDS[index] for index in self.kind)


def fleet(servers: int, seed: int, noise: str) -> Fleet:
    """Draw the fleet; nothing depends on how many days will be generated.

    Levels and kinds are spread evenly (stratified), so that small fleets have all classes too.
    Server 0 is always there and never idle: an hour without sessions is then silent for a planned reason.
    """
    if servers < 1 or noise not in NOISE_SD:
        raise InputError(f"no fleet of {servers} servers with noise {noise!r}", hint="use low, medium or high noise")
    return _drawn(servers, np.random.default_rng((seed, FLEET_STREAM)), NOISE_SD[noise])


def _drawn(shape: int, random: np.random.Generator, noise_sd: float) -> Fleet:
    kind = _kinds(shape, random)
    patterned, erratic = kind == 1, kind == 2
    first_hour, last_hour = _lifetimes(shape, random)
    return Fleet(
        server_ips=_addresses(shape, random),
        kind=kind,
        log_level=_levels(shape, random),
        trend_per_day=random.normal(0.0, 0.001, shape),
        daily_swing=np.where(patterned, random.uniform(0.4, 1.1, shape), random.uniform(0.0, 0.1, shape)),
        busiest_hour=random.normal(14.0, 3.0, shape),
        weekend_step=np.where(patterned, -random.uniform(0.2, 1.0, shape), 0.0),
        holiday_step=np.where(patterned, -random.uniform(0.4, 1.2, shape), -random.uniform(0.0, 0.1, shape)),
        noise_sd=np.where(erratic, noise_sd + 0.5, noise_sd),
        drift_sd=np.full(shape, noise_sd * DRIFT_OF_NOISE),
        burst_probability=np.where(erratic, 0.12, 0.0),
        burst_step=np.where(erratic, random.uniform(0.8, 1.6, shape), 0.0),
        idle_probability=np.where(np.arange(shape) == 0, 0.0, np.where(erratic, 0.06, 0.01)),
        night_idle_hours=_night_idle_hours(patterned, random),
        first_hour=first_hour,
        last_hour=last_hour,
        server_type=random.integers(1, 7, shape),
    )


def _kinds(servers: int, random: np.random.Generator) -> Integers:
    bounds = np.cumsum(KIND_SHARES)[:2]
    evenly = (np.arange(servers) + 0.5) / servers
    kinds = np.searchsorted(bounds, evenly, side="right").astype(np.int64)
    random.shuffle(kinds[1:])
    return kinds


def _levels(servers: int, random: np.random.Generator) -> Floats:
    """Log levels with quantiles of a normal whose classes are about .45, .35 and .2."""
    evenly = (random.permutation(servers) + random.uniform(0.2, 0.8, servers)) / servers
    sample = np.sort(random.normal(0.0, 1.0, 20_001))
    return np.asarray(4.95 + 1.45 * np.quantile(sample, evenly), dtype=np.float64)


def _lifetimes(servers: int, random: np.random.Generator) -> tuple[Integers, Integers]:
    """First and last hour of each server: 10 % are newcomers, 8 % die; days are log-uniform."""
    newcomer, mortal = random.random(servers) < 0.10, random.random(servers) < MORTAL_SHARE
    born_day = np.exp(random.uniform(np.log(1), np.log(60), servers))
    lived_days = np.exp(random.uniform(np.log(LIVED_DAYS[0]), np.log(LIVED_DAYS[1]), servers))
    newcomer[0] = mortal[0] = False
    first_hour = np.where(newcomer, np.floor(born_day * 24), 0).astype(np.int64)
    last_hour = np.where(mortal, first_hour + np.floor(lived_days * 24), NEVER).astype(np.int64)
    return first_hour, last_hour


def _survival(age_hours: Integers) -> Floats:
    """Chance that a server lives at an age, drawn as in `_lifetimes`."""
    shortest, longest = LIVED_DAYS
    lived = np.log(np.maximum(age_hours, 24 * shortest) / (24 * shortest)) / np.log(longest / shortest)
    return np.asarray(1 - MORTAL_SHARE * np.minimum(lived, 1.0), dtype=np.float64)


def _night_idle_hours(patterned: NDArray[np.bool_], random: np.random.Generator) -> Integers:
    """One patterned server in six does nothing in the first 2..5 hours of each day (server 0 excepted)."""
    sleeps = patterned & (random.random(patterned.size) < 1 / 6)
    sleeps[0] = False
    return np.where(sleeps, random.integers(2, 6, patterned.size), 0).astype(np.int64)


def _addresses(servers: int, random: np.random.Generator) -> tuple[str, ...]:
    addresses = dict.fromkeys(ARTICLE_SERVERS[:servers])
    while len(addresses) < servers:
        number = int(random.integers(11 << 24, 223 << 24))
        if number >> 24 != 127:
            addresses[str(ipaddress.IPv4Address(number))] = None
    return tuple(addresses)
