"""A server's own climatology: counted by hand, and held against a slow recount."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverload.contracts.feature_columns import PEAKS
from serverload.steps.hours import FleetHours, ServerHours, server_hours
from serverload.steps.labels import class_index
from serverload.steps.own_climatology import own_climatology

LIMITS = {"low_max": 100.0, "medium_max": 500.0}
MIDNIGHT = 24 * 17_000


def hours_of(loads: dict[int, float], last_hour: int, grid_start: int | None = None) -> ServerHours:
    hours = np.array(sorted(loads))
    peaks = np.tile([loads[hour] for hour in sorted(loads)], (len(PEAKS), 1))
    every = np.arange(hours[0], last_hour + 1)
    return server_hours(
        hours,
        peaks,
        first_hour=int(hours[0]),
        grid_start=int(hours[0]) if grid_start is None else grid_start,
        last_hour=last_hour,
        fleet=FleetHours.of(every[every % 5 != 0]),  # each fifth hour may be missing
        retire_after_hours=168,
    )


def test_three_days_of_one_hour_by_hand():
    """At 6 h: high, high, low on the three days; at all 69 hours up to the origin: 2 high, 67 low."""
    loads = {MIDNIGHT + hour: 10.0 for hour in range(69)}
    loads |= {MIDNIGHT + 6: 900.0, MIDNIGHT + 30: 900.0}
    target, origin = MIDNIGHT + 78, MIDNIGHT + 68

    usual, recent, known = own_climatology(hours_of(loads, origin), np.array([target]), np.array([origin]), **LIMITS)

    assert (recent.tolist(), known.tolist()) == ([69], [69])
    # (1 low + 2 * 67/69) / 5, 0, (2 high + 2 * 2/69) / 5
    assert usual[0] == pytest.approx([0.588406, 0.0, 0.411594], abs=1e-6)


def test_a_server_that_was_never_seen_has_no_climatology():
    loads = {MIDNIGHT + 50: 10.0}
    server = hours_of(loads, MIDNIGHT + 60, MIDNIGHT + 40)
    usual, recent, known = own_climatology(server, np.array([MIDNIGHT + 49]), np.array([MIDNIGHT + 48]), **LIMITS)

    assert np.isnan(usual).all()
    assert (recent.tolist(), known.tolist()) == ([0], [0])


@given(st.data())
def test_it_is_a_recount_of_the_hours_up_to_the_origin(data: st.DataObject):
    size = data.draw(st.integers(1, 1000))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    kept = np.flatnonzero(random.random(size) < 0.7)
    loads = {MIDNIGHT + int(hour): float(random.choice([10.0, 200.0, 900.0])) for hour in [0, *kept]}
    last = MIDNIGHT + size - 1
    origin = data.draw(st.integers(max(MIDNIGHT, last - 30), last))
    target = origin + data.draw(st.integers(1, 48))
    server = hours_of(loads, last)

    usual, recent, known = own_climatology(server, np.array([target]), np.array([origin]), **LIMITS)

    grid = np.arange(MIDNIGHT, last + 1)
    counting = server.counting & (grid <= origin)
    came = class_index(server.peaks[0], **LIMITS)
    month = counting & (grid > origin - 672)
    same = month & ((grid - target) % 24 == 0)
    everything = np.array([(came[month] == each).sum() for each in range(3)])
    here = np.array([(came[same] == each).sum() for each in range(3)])
    assert recent[0] == (counting & (grid > origin - 168)).sum()
    assert known[0] == month.sum()
    if known[0]:
        assert usual[0] == pytest.approx((here + 2 * everything / everything.sum()) / (here.sum() + 2))
