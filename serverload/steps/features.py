"""The one feature definition: training, backtest, live scoring and the REST scorer all call it.

Time is a value: a lag is a place on the server's dense hour grid, never a row before another. Only hours up
to and including the origin (target less horizon) are read. Needs no Spark.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.feature_columns import (
    FEATURES,
    NULLABLE_FEATURES,
    ORIGIN_LAGS,
    PEAKS,
    SAME_HOUR_WEEKS,
    TARGET_LAGS,
)
from serverload.steps.calendar_features import calendar_columns
from serverload.steps.hours import ServerHours
from serverload.steps.ordered_sums import added, days_before
from serverload.steps.usual_load import usual_loads, usual_lookback_hours

_DAYS_IN_MEAN = 7
_WEEK_HOURS = 168
_MICROSECONDS_PER_HOUR = 3_600_000_000


def lookback_hours(longest_horizon: int, retire_after_hours: int) -> int:
    """How far before a target the hours must be known: its oldest input, and the hours that tell idle from retired."""
    oldest_day = longest_horizon + 23 + 24 * _DAYS_IN_MEAN
    counting = max(*TARGET_LAGS, _WEEK_HOURS * max(SAME_HOUR_WEEKS), oldest_day) + retire_after_hours
    return max(counting, usual_lookback_hours(longest_horizon))


def feature_rows(server: ServerHours, target_hours: NDArray[np.int64], horizons: NDArray[np.int64]) -> pl.DataFrame:
    """Features of one server, a row per pair (target hour, horizon), in the order given.

    Columns: `target_hour` (datetime, UTC), then FEATURES; unknown values are null. A row depends on its own
    pair and the server's hours up to its origin only, to the last bit: not on the other rows, not on where
    the grid starts. ValueError if a horizon is below 1, if an origin is after the grid's last hour, or if
    the grid starts after the first hour and less than `lookback_hours` before a target.
    """
    return _frame(target_hours, horizons, _load_columns(server, target_hours, horizons))


def fleet_feature_rows(
    servers: Sequence[ServerHours], target_hours: NDArray[np.int64], horizons: NDArray[np.int64]
) -> pl.DataFrame:
    """The `feature_rows` of several servers one after another, the same pairs for each: one frame costs less than many.

    ValueError as there.
    """
    parts = [_load_columns(server, target_hours, horizons) for server in servers]
    known = {column.name: np.concatenate([part[column.name] for part in parts]) for column in NULLABLE_FEATURES}
    return _frame(np.tile(target_hours, len(parts)), np.tile(horizons, len(parts)), known)


def _load_columns(
    server: ServerHours, target_hours: NDArray[np.int64], horizons: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """The features that a server's loads make; NaN where unknown."""
    _check_reach(server, target_hours, horizons)
    origins = target_hours - horizons
    known = {**_lags(server, target_hours, horizons), **_week_means(server, origins)}
    return known | _same_hours(server, target_hours, horizons) | usual_loads(server, target_hours, origins)


def _frame(
    target_hours: NDArray[np.int64], horizons: NDArray[np.int64], known: dict[str, NDArray[np.float64]]
) -> pl.DataFrame:
    """Columns `target_hour` and FEATURES from the pairs and the loads known for each."""
    names = [column.name for column in NULLABLE_FEATURES]
    when = pl.Series("target_hour", target_hours * _MICROSECONDS_PER_HOUR).cast(pl.Datetime("us", "UTC"))
    columns = [
        when,
        pl.Series("horizon_hours", horizons.astype(np.int32)),
        *calendar_columns(target_hours).get_columns(),
        *(pl.Series(name, known[name], nan_to_null=True) for name in names),
        # told by numpy: each question to a series starts an engine
        *(pl.Series(f"missing_{name}", np.isnan(known[name])) for name in names),
    ]
    return pl.DataFrame(columns).select("target_hour", *(feature.name for feature in FEATURES))


def training_pairs(
    server: ServerHours, closed_until: int, first_target: int, last_target: int, horizons: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Target hours and horizons that a server can be trained and tested on, horizon by horizon.

    Every closed hour of `first_target .. last_target` that counts (observed or idle), with an origin not
    before the server's first hour. ValueError if the grid ends before the last of these hours.
    """
    last = min(last_target, closed_until)
    if last > server.last_hour >= server.grid_start:
        raise ValueError(f"targets up to hour {last} are asked for, but the grid ends at hour {server.last_hour}")
    hours = server.grid_start + np.flatnonzero(server.counting)
    hours = hours[(hours >= first_target) & (hours <= last)]
    per_horizon = [hours[hours - horizon >= server.first_hour] for horizon in horizons]
    sizes = [targets.size for targets in per_horizon]
    targets = np.concatenate([np.empty(0, dtype=np.int64), *per_horizon])
    return targets, np.repeat(np.asarray(horizons, dtype=np.int64), sizes)


def forecast_pairs(origins: Sequence[int], horizons: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Target hours and horizons of the forecasts issued at some origins, origin by origin."""
    ahead = np.tile(np.asarray(horizons, dtype=np.int64), len(origins))
    return np.repeat(np.asarray(origins, dtype=np.int64), len(horizons)) + ahead, ahead


def _check_reach(server: ServerHours, target_hours: NDArray[np.int64], horizons: NDArray[np.int64]) -> None:
    """Refuse what the grid cannot answer: a null must mean unknown, not out of the slice."""
    if not target_hours.size:
        return
    if horizons.min() < 1:
        raise ValueError(f"a horizon of {horizons.min()} h: a forecast looks at least 1 h ahead")
    newest_origin = int((target_hours - horizons).max())
    if newest_origin > server.last_hour:
        raise ValueError(f"origin {newest_origin} is after the grid's last hour {server.last_hour}")
    oldest = int(target_hours.min()) - lookback_hours(int(horizons.max()), server.retire_after_hours)
    if server.grid_start > max(oldest, server.first_hour):
        raise ValueError(f"hours from {oldest} on are needed, but the grid starts at hour {server.grid_start}")


def _loads_at(server: ServerHours, hours: NDArray[np.int64]) -> NDArray[np.float64]:
    """Peak load at each hour; NaN where it does not count or is outside the grid."""
    padded = np.concatenate(([np.nan], server.peaks[0], [np.nan]))
    return padded.take(hours - (server.grid_start - 1), mode="clip")


def _target_lag(
    server: ServerHours, target_hours: NDArray[np.int64], horizons: NDArray[np.int64], lag: int
) -> NDArray[np.float64]:
    """Peak load `lag` hours before each target; NaN where that hour is after the origin."""
    return np.where(horizons <= lag, _loads_at(server, target_hours - lag), np.nan)


def _lags(
    server: ServerHours, target_hours: NDArray[np.int64], horizons: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Peak loads a fixed time before the origin or the target."""
    origins = target_hours - horizons
    before_origin = {f"peak_load_origin_lag_{k}h": _loads_at(server, origins - k) for k in ORIGIN_LAGS}
    before_target = {f"peak_load_lag_{k}h": _target_lag(server, target_hours, horizons, k) for k in TARGET_LAGS}
    return before_origin | before_target


def _week_means(server: ServerHours, origins: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Mean of each peak over the hours that count in the 7 whole UTC days before each origin's day."""
    first_day = server.grid_start // 24
    means = np.pad(_means_before_day(server), ((0, 0), (1, 1)), constant_values=np.nan)
    days = origins // 24 - (first_day - 1)
    return {f"mean_7d_{peak}": row.take(days, mode="clip") for peak, row in zip(PEAKS, means, strict=True)}


def _means_before_day(server: ServerHours) -> NDArray[np.float64]:
    """Per peak and day of the grid, the mean over the 7 days before it; NaN where no hour counts. Shape (8, days).

    Hours are added one by one within their UTC day, then days one by one: the same order wherever the grid
    starts, so the same bits.
    """
    before = server.grid_start % 24
    days = -(-(before + len(server.states)) // 24)
    edges = (before, 24 * days - before - len(server.states))
    peaks = np.pad(np.where(server.counting, server.peaks, 0.0), ((0, 0), edges))
    day_hours = np.pad(server.counting, edges).reshape(days, 24).sum(axis=1, dtype=np.float64)
    week_sums = added(days_before(added(peaks.reshape(len(PEAKS), days, 24)), _DAYS_IN_MEAN))
    week_hours = added(days_before(day_hours, _DAYS_IN_MEAN))
    return np.where(week_hours > 0, week_sums / np.maximum(week_hours, 1), np.nan)


def _same_hours(
    server: ServerHours, target_hours: NDArray[np.int64], horizons: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Peak loads at the target's hour of the week, 1 to 4 weeks before, and the known ones' mean and range."""
    weeks = [_target_lag(server, target_hours, horizons, _WEEK_HOURS * week) for week in SAME_HOUR_WEEKS]
    stacked = np.stack(weeks)
    known = ~np.isnan(stacked)
    count = known.sum(axis=0)
    total = added(np.moveaxis(np.where(known, stacked, 0.0), 0, -1))
    return {
        **{f"same_hour_{week}w": loads for week, loads in zip(SAME_HOUR_WEEKS, weeks, strict=True)},
        "same_hour_mean": np.where(count > 0, total / np.maximum(count, 1), np.nan),
        "same_hour_min": np.fmin.reduce(stacked),
        "same_hour_max": np.fmax.reduce(stacked),
    }
