"""The feature definition against a slow and obvious one: a dict of hours, read one value at a time."""

import math
import statistics
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import holidays
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from serverload.contracts.feature_columns import FEATURES, NULLABLE_FEATURES, ORIGIN_LAGS, PEAKS
from serverload.steps.features import feature_rows, lookback_hours, training_pairs
from serverload.steps.hours import FleetHours, ServerHours, server_hours

HOLIDAYS = holidays.country_holidays("US", years=range(1969, 2102))
SPAN = 1400
LOGARITHMIC = {"usual_load", "expected_load_24h", "expected_load_72h", "expected_load_168h", "spread_168h"}


@dataclass(frozen=True, eq=False)
class Story:
    """What happened to one server: its observed hours with eight peaks each, and the fleet's hours."""

    observed: dict[int, tuple[float, ...]]
    fleet: frozenset[int]
    first_hour: int
    last_hour: int
    retire_after_hours: int = 168
    looked_up: dict[int, dict[tuple[int, int], float]] = field(default_factory=dict)

    def server(self, grid_start: int) -> ServerHours:
        shown = [hour for hour in self.observed if hour >= grid_start]
        return server_hours(
            np.array(shown, dtype=np.int64),
            np.array([self.observed[hour] for hour in shown]).reshape(-1, len(PEAKS)).T,
            first_hour=self.first_hour,
            grid_start=grid_start,
            last_hour=self.last_hour,
            fleet=FleetHours.of(np.array(sorted(self.fleet), dtype=np.int64)),
            retire_after_hours=self.retire_after_hours,
        )

    def peaks(self, hour: int) -> tuple[float, ...] | None:
        """The eight peaks of an hour that counts, else None."""
        if hour in self.observed:
            return self.observed[hour]
        recent = any(hour - k in self.observed for k in range(1, self.retire_after_hours + 1))
        return (0.0,) * len(PEAKS) if recent and hour in self.fleet else None

    def load(self, hour: int, origin: int) -> float | None:
        peaks = self.peaks(hour) if hour <= origin else None
        return None if peaks is None else peaks[0]

    def features(self, target: int, horizon: int) -> dict[str, object]:
        """All features of one pair, by the words of the design."""
        origin = target - horizon
        values: dict[str, object] = {}
        for k in ORIGIN_LAGS:
            values[f"peak_load_origin_lag_{k}h"] = self.load(origin - k, origin)
        for k in (72, 96, 168, 730):
            values[f"peak_load_lag_{k}h"] = self.load(target - k, origin)
        midnight = origin - origin % 24
        week = [peaks for hour in range(midnight - 168, midnight) if (peaks := self.peaks(hour)) is not None]
        for c, peak in enumerate(PEAKS):
            values[f"mean_7d_{peak}"] = sum(peaks[c] for peaks in week) / len(week) if week else None
        same = [self.load(target - 168 * w, origin) for w in (1, 2, 3, 4)]
        known = [load for load in same if load is not None]
        values |= {f"same_hour_{w}w": load for w, load in zip((1, 2, 3, 4), same, strict=True)}
        values["same_hour_mean"] = sum(known) / len(known) if known else None
        values["same_hour_min"] = min(known, default=None)
        values["same_hour_max"] = max(known, default=None)
        values |= self.usual(target, origin)
        missing = {f"missing_{name}": value is None for name, value in values.items()}
        return calendar_of(target) | {"horizon_hours": horizon} | values | missing

    def log_load(self, hour: int) -> float | None:
        return math.log1p(self.observed[hour][0]) if hour in self.observed else None

    def logs_before(self, day: int) -> dict[tuple[int, int], float]:
        """Log loads of the 28 days before a day, by day and hour of day; looked up once."""
        if day not in self.looked_up:
            cells = ((d, h, self.log_load(24 * d + h)) for d in range(day - 28, day) for h in range(24))
            self.looked_up[day] = {(d, h): log for d, h, log in cells if log is not None}
        return self.looked_up[day]

    def usual_log(self, hour: int, day: int) -> float | None:
        """Usual log load of an hour's hour of day and kind of day, as known on a day."""
        weekend = (hour // 24 + 3) % 7 >= 5
        logs = self.logs_before(day)
        if not logs:
            return None
        at_hour = [log for (_, h), log in logs.items() if h == hour % 24] or list(logs.values())
        of_kind = [log for (d, h), log in logs.items() if h == hour % 24 and ((d + 3) % 7 >= 5) == weekend]
        return (math.fsum(of_kind) + 0.5 * math.fsum(at_hour) / len(at_hour)) / (len(of_kind) + 0.5)

    def usual(self, target: int, origin: int) -> dict[str, object]:
        """The load to expect: what is usual at that hour, times how the last days compare with what was usual then."""
        names = ("usual_load", "expected_load_24h", "expected_load_72h", "expected_load_168h", "spread_168h")
        usual = self.usual_log(target, origin // 24)
        if usual is None:
            return dict.fromkeys(names)
        beyond = {}
        for back in range(168):
            log, before = self.log_load(origin - back), self.usual_log(origin - back, (origin - back) // 24)
            if log is not None and before is not None:
                beyond[back] = log - before
        expected = [usual]
        for hours in (24, 72, 168):
            last = [difference for back, difference in beyond.items() if back < hours]
            expected.append(usual + (statistics.fmean(last) if last else 0.0))
        spread = statistics.pstdev(beyond.values()) if beyond else None
        return dict(zip(names, (*(max(math.expm1(log), 0.0) for log in expected), spread), strict=True))


def alike(told: float | None, expected: float | None) -> bool:
    if told is None or expected is None:
        return told is expected
    return math.isclose(told, expected, rel_tol=1e-9, abs_tol=1e-6)


def calendar_of(target: int) -> dict[str, object]:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=target)
    return {
        "target_hour": moment,
        "year": moment.year,
        "month": moment.month,
        "iso_week": moment.isocalendar().week,
        "day_of_month": moment.day,
        "hour_of_day": moment.hour,
        "iso_day_of_week": moment.isoweekday(),
        "is_us_federal_holiday": moment.date() in HOLIDAYS,
        "is_business_hour": moment.hour in range(8, 19),
        "is_morning": moment.hour in range(6, 10),
        "trend_days": (moment.date() - datetime(1970, 1, 1).date()).days,
    }


def told(seed: int, kept: float, start: int, breaks: list[tuple[int, int]], whole_loads: bool) -> Story:
    """A server that keeps a share of its hours, but for breaks (start, length); some are the whole fleet's."""
    rng = np.random.default_rng(seed)
    there = rng.random(SPAN) < kept
    fleet = rng.random(SPAN) < 0.9
    for nth, (at, length) in enumerate(breaks):
        there[at : at + length] = False
        fleet[at : at + length] &= nth % 2 == 0
    there[0] = True
    loads = rng.integers(0, 1_000_000_000, (SPAN, len(PEAKS)))
    loads = loads // 1_000_000 if whole_loads else loads / 1e6
    observed = {start + int(i): tuple(float(x) for x in loads[i]) for i in np.flatnonzero(there)}
    hours = frozenset(observed) | {start + int(i) for i in np.flatnonzero(fleet)}
    return Story(observed, hours, start, start + SPAN - 1)


def stories(whole_loads: bool = False) -> st.SearchStrategy[Story]:
    breaks = st.lists(st.tuples(st.integers(0, SPAN - 1), st.integers(1, 400)), max_size=4)
    return st.builds(
        told, st.integers(0, 2**32), st.floats(0.02, 1), st.integers(0, 1_000_000), breaks, st.just(whole_loads)
    )


HORIZONS = st.sampled_from([1, 3, 24, 48, 96, 200, 700])
PAIRS = st.lists(st.tuples(st.integers(1, SPAN + 47), HORIZONS), min_size=1, max_size=5)


def asked(story: Story, pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs as arrays, targets counted from the first hour and drawn back so that no origin is after the last."""
    targets = [story.first_hour + min(target, SPAN - 1 + horizon) for target, horizon in pairs]
    return np.array(targets, dtype=np.int64), np.array([horizon for _, horizon in pairs], dtype=np.int64)


@settings(max_examples=60, deadline=None)
@given(stories(whole_loads=True), PAIRS)
def test_every_feature_is_what_the_obvious_reading_of_single_hours_gives(story, pairs):
    """Whole loads add exactly in any order, so that means too must agree to the last bit."""
    targets, horizons = asked(story, pairs)
    rows = feature_rows(story.server(story.first_hour), targets, horizons).to_dicts()
    expected = [story.features(int(target), int(h)) for target, h in zip(targets, horizons, strict=True)]
    for row, words in zip(rows, expected, strict=True):
        for name in LOGARITHMIC:
            assert alike(row.pop(name), words.pop(name)), name
    assert rows == expected
    assert set(rows[0]) | LOGARITHMIC == {"target_hour"} | {feature.name for feature in FEATURES}


def test_with_30_percent_of_the_hours_gone_every_lag_is_still_of_its_hour():
    """The holes are the whole fleet's: a lag is the load of exactly that hour, or null."""
    rng = np.random.default_rng(7)
    there = rng.random(1500) >= 0.3
    there[0] = True
    observed = {400_000 + int(i): (400_000.0 + float(i),) * len(PEAKS) for i in np.flatnonzero(there)}
    story = Story(observed, frozenset(observed), 400_000, 401_499)
    server = story.server(400_000)
    targets, horizons = training_pairs(server, 401_499, 401_300, 401_499, (1, 24, 48))
    rows = feature_rows(server, targets, horizons)
    assert 350 < rows.height < 450
    lags = {f"peak_load_origin_lag_{k}h": targets - horizons - k for k in ORIGIN_LAGS}
    lags |= {f"peak_load_lag_{k}h": targets - k for k in (72, 96, 168, 730)}
    lags |= {f"same_hour_{w}w": targets - 168 * w for w in (1, 2, 3, 4)}
    for name, hours in lags.items():
        assert rows[name].to_list() == [float(hour) if hour in observed else None for hour in hours.tolist()]


@settings(max_examples=60, deadline=None)
@given(stories(), PAIRS, stories())
def test_nothing_after_the_origin_changes_a_feature(story, pairs, other):
    """All hours after the oldest origin are swapped for another story's: values, gaps and fleet."""
    targets, horizons = asked(story, pairs)
    targets, horizons = targets[:1], horizons[:1]
    origin = int(targets[0] - horizons[0])
    shift = story.first_hour - other.first_hour
    later = {hour + shift: peaks for hour, peaks in other.observed.items() if hour + shift > origin}
    later_fleet = {hour + shift for hour in other.fleet if hour + shift > origin}
    changed = replace(
        story,
        observed={hour: peaks for hour, peaks in story.observed.items() if hour <= origin} | later,
        fleet=frozenset(hour for hour in story.fleet if hour <= origin) | later_fleet,
    )
    start = min(story.first_hour, origin)
    before = feature_rows(story.server(start), targets, horizons)
    assert bits(feature_rows(changed.server(start), targets, horizons)) == bits(before)
    ended = replace(story, last_hour=max(origin, start))
    assert bits(feature_rows(ended.server(start), targets, horizons)) == bits(before)


@settings(max_examples=60, deadline=None)
@given(stories(), st.integers(1, SPAN + 47), st.sampled_from([1, 24, 48]), st.integers(0, 30))
def test_a_row_has_the_same_bits_from_a_short_slice_alone_and_from_the_whole_history(story, target, horizon, spare):
    targets, horizons = asked(story, [(target, horizon)])
    among_others = np.repeat(targets, 300) - np.arange(300), np.repeat(horizons, 300)
    whole = feature_rows(story.server(story.first_hour), *among_others).head(1)
    short = story.server(int(targets[0]) - lookback_hours(48, 168) - spare)
    assert bits(feature_rows(short, targets, horizons)) == bits(whole)


def bits(rows: pl.DataFrame) -> list[tuple[object, ...]]:
    """Rows with every double as its exact bits."""
    doubles = [column.name for column in NULLABLE_FEATURES]
    return rows.with_columns(pl.col(doubles).reinterpret(signed=False)).rows()
