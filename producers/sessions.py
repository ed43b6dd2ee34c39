"""The sessions of a synthetic day: the drawn peaks spread over lines, exact to the last thousandth."""

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from producers.fleet import Fleet, Floats, Integers
from producers.load_model import UNITS_PER_LOAD, FleetDay
from serverload.contracts.lines import FIELDS_16, WINDOW_MINUTES

WINDOWS_PER_HOUR = 60 // WINDOW_MINUTES
WINDOW_SECONDS = WINDOW_MINUTES * 60


class Sessions(NamedTuple):
    """One entry per session: server index, start in seconds since 1970, load in thousandths."""

    server: Integers
    start_second: Integers
    load_units: Integers


def sessions(day: FleetDay, sessions_per_hour: float, random: np.random.Generator) -> Sessions:
    """Spread each observed hour's peak over sessions, in time order.

    One window of the hour, at random, sums to exactly the peak; every other window sums to less.
    """
    server, hour = np.nonzero(day.observed)
    peak = day.peak_units[server, hour]
    window_share, extra_sessions = _density(sessions_per_hour)
    shape = (peak.size, WINDOWS_PER_HOUR)
    peak_window = (np.arange(peak.size), random.integers(0, WINDOWS_PER_HOUR, peak.size))
    active = random.random(shape) < window_share
    active[peak_window] = True
    window_units = np.floor(random.uniform(0.2, 0.97, shape) * peak[:, None]).astype(np.int64)
    window_units[peak_window] = peak
    count = 1 + random.poisson(extra_sessions, shape)
    cell, window = np.nonzero(active)
    repeated = np.repeat(np.arange(cell.size), count[cell, window])
    units = _split(window_units[cell, window], count[cell, window], random)
    start = _midnight(day.day) + (hour[cell] * WINDOWS_PER_HOUR + window) * WINDOW_SECONDS
    start = start[repeated] + random.integers(0, WINDOW_SECONDS, repeated.size)
    order = np.argsort(start, kind="stable")
    return Sessions(server[cell][repeated][order], start[order], units[order])


def session_table(drawn: Sessions, fleet: Fleet, random: np.random.Generator) -> pl.DataFrame:
    """The sessions as lines of the 16 fields; all other measures follow the load."""
    size = drawn.server.size
    load = drawn.load_units / UNITS_PER_LOAD
    shares = random.dirichlet((4.0, 3.0, 2.0, 1.5, 1.0, 0.5), size) if size else np.empty((0, 6))
    start = drawn.start_second.astype("datetime64[s]").astype("datetime64[us]")
    duration = random.exponential(240.0, size).astype(np.int64) + 1
    parts = {f"SubService_{k + 1}_Load": shares[:, k] * load for k in range(5)}
    columns = {
        "SessionStart": start,
        "SessionEnd": start + duration.astype("timedelta64[s]"),
        "ConcurrentConnectionCounts": 1 + random.poisson(3.0 + np.sqrt(load)),
        "MbytesTransferred": load * random.lognormal(-1.0, 0.3, size),
        "ServiceGrade": random.integers(1, 4, size),
        "HTTP1": random.integers(0, 2, size),
        "ServerType": fleet.server_type[drawn.server],
        **parts,
        "SecureBytes_Load": shares[:, 5] * load,
        "TotalLoad": load,
        "ClientIP": _client_addresses(random.integers(0, 1 << 24, size)),
        "ServerIP": np.array(fleet.server_ips)[drawn.server],
    }
    return pl.DataFrame(columns).select(FIELDS_16)


def csv_text(table: pl.DataFrame) -> bytes:
    """The lines without header: times to the second, measures with three decimals."""
    text = table.write_csv(include_header=False, datetime_format="%Y-%m-%d %H:%M:%S", float_precision=3)
    return text.encode("ascii")


def _density(sessions_per_hour: float) -> tuple[float, float]:
    """Share of the 11 other windows with sessions, and mean sessions per window beyond the first."""
    per_window = min(2.0, max(1.0, sessions_per_hour / 2))
    window_share = min(1.0, max(0.0, (sessions_per_hour / per_window - 1) / (WINDOWS_PER_HOUR - 1)))
    return window_share, max(0.0, sessions_per_hour / (1 + window_share * (WINDOWS_PER_HOUR - 1)) - 1)


def _split(total: Integers, count: Integers, random: np.random.Generator) -> Integers:
    """Split each total into `count` random parts that sum to exactly it; the parts of all totals in a row."""
    last = np.cumsum(count) - 1
    first = last - count + 1
    group = np.repeat(np.arange(total.size), count)
    filled: Floats = np.cumsum(random.exponential(1.0, group.size))
    before = np.concatenate(([0.0], filled))[first]
    share = (filled - before[group]) / (filled[last] - before)[group]
    reached = np.minimum(np.floor(share * total[group]), total[group]).astype(np.int64)
    reached[last] = total
    parts = np.diff(reached, prepend=0)
    parts[first] = reached[first]
    return np.asarray(parts, dtype=np.int64)


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400


def _client_addresses(numbers: Integers) -> pl.Series:
    """Addresses in 10.0.0.0/8."""
    octets = [pl.lit("10"), *(((pl.col("n") // 256**k) % 256).cast(pl.String) for k in (2, 1, 0))]
    return pl.DataFrame({"n": numbers}).select(pl.concat_str(octets, separator=".").alias("ClientIP"))["ClientIP"]
