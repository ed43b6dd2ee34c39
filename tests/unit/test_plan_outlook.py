"""What a forecast hour means in load: from the server's own hours of that class at about that hour of the day."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_cases import HIGH, LOW, MEDIUM, outlook

from serverload.contracts.classes import MICROS
from serverload.planning.outlook import HISTORY_HOURS, SHARES, TAILS, Outlook, expected_loads, load_levels


def levels(given: Outlook, server: int = 0, hour: int = 0) -> list[float]:
    """The levels of one hour, in load."""
    return (load_levels(given)[server, hour] / MICROS).tolist()


def test_the_shares_of_the_levels_add_up_to_one_and_each_tail_is_what_is_left() -> None:
    assert math.isclose(SHARES.sum(), 1.0)
    assert np.allclose(TAILS, 1.0 - np.cumsum(SHARES))
    assert (TAILS[1:-1] / TAILS[:-2]).tolist() == [2**-0.5] * 27 or np.allclose(TAILS[1:-1] / TAILS[:-2], 2**-0.5)


def test_a_low_hour_is_as_loaded_as_the_low_hours_before() -> None:
    assert set(levels(outlook((30.0, LOW)))) == {30.0}


def test_a_class_that_the_server_never_was_in_counts_with_its_upper_bound() -> None:
    assert set(levels(outlook((30.0, MEDIUM)))) == {500.0}
    assert set(levels(outlook((300.0, LOW)))) == {100.0}


def test_a_medium_hour_with_a_tenth_is_told_by_the_levels_above_nine_tenths() -> None:
    told = levels(outlook((30.0, (0.9, 0.1, 0.0))))

    assert [load for load, tail in zip(told, TAILS, strict=True) if tail >= 0.1] == [30.0] * 6
    assert {load for load, tail in zip(told, TAILS, strict=True) if tail < 0.1} == {500.0}


def test_high_is_left_out_of_the_levels() -> None:
    assert set(levels(outlook((30.0, (0.6, 0.0, 0.4))))) == {30.0}


def test_loads_are_those_of_about_the_same_hour_of_the_day() -> None:
    given = outlook((0.0, LOW))
    given.past[0] = np.tile(np.arange(24.0), HISTORY_HOURS // 24)

    assert (levels(given, hour=10)[0], levels(given, hour=10)[-1]) == (9.0, 12.0)
    assert levels(given, hour=34) == levels(given, hour=10)


def test_unknown_hours_do_not_count_and_few_hours_give_way_to_all() -> None:
    given = outlook((10.0, LOW))
    given.past[0, :-24] = np.nan  # one day is known: 5 hours about each hour, 24 in all
    given.past[0, -1] = 70.0
    assert levels(given, hour=11)[-1] == 70.0
    given.past[0, :-19] = np.nan
    assert set(levels(given, hour=11)) == {100.0}


def test_expected_loads_weigh_the_means_of_the_classes() -> None:
    given = outlook((30.0, (0.5, 0.3, 0.2)))

    assert np.allclose(expected_loads(given), 0.5 * 30 + 0.3 * 500 + 0.2 * 500)
    given.past[0, ::2] = 900.0
    assert np.allclose(expected_loads(given), 0.5 * 30 + 0.3 * 500 + 0.2 * 900)


def test_an_hour_that_is_high_for_sure_is_expected_at_its_own_high_loads() -> None:
    assert np.allclose(expected_loads(outlook((700.0, HIGH))), 700.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 600), min_size=28, max_size=28),
    st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 5)),
    st.integers(0, 47),
)
def test_levels_are_those_of_a_slow_and_obvious_count(loads: list[int], weights: tuple[int, ...], hour: int) -> None:
    chances = tuple(weight / sum(weights) for weight in weights)
    given = outlook((0.0, chances))
    given.past[0] = np.repeat(np.array(loads, dtype=float), 24) + np.tile(np.arange(24) / 10, 28)

    assert levels(given, hour=hour) == slow_levels(given.past[0].tolist(), chances, hour)


def slow_levels(past: list[float], chances: tuple[float, ...], hour: int) -> list[float]:
    """Each level by sorting, class by class."""
    at = range(hour % 24, len(past), 24)
    near = [past[place + step] for place in at for step in range(-2, 3) if 0 <= place + step < len(past)]
    low_share = chances[0] / (chances[0] + chances[1])
    told = []
    for tail in TAILS.tolist():
        level = 1.0 - tail
        above, up_to, share = (
            (-1.0, 100.0, level / low_share)
            if level <= low_share
            else (100.0, 500.0, (level - low_share) / (1 - low_share))
        )
        told.append(slow_quantile(near, past, above, up_to, min(share, 1.0)))
    return told


def slow_quantile(near: list[float], past: list[float], above: float, up_to: float, share: float) -> float:
    for loads in (near, past):
        within = sorted(load for load in loads if above < load <= up_to)
        if len(within) >= 20:
            return round(within[max(math.ceil(share * len(within)) - 1, 0)], 6)
    return up_to
