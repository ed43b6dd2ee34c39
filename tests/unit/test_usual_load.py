"""The load to expect, drawn by hand: five weeks of one server whose hours of the day differ."""

from datetime import UTC, datetime

import numpy as np
import pytest

from serverload.contracts.instants import hour_number
from serverload.steps.hours import FleetHours, server_hours
from serverload.steps.usual_load import usual_loads

MONDAY = hour_number(datetime(2016, 6, 6, tzinfo=UTC))
DAYS = 35
WORKDAY, WEEKEND = 99.0, 24.0


def loads_of(days: int = DAYS) -> np.ndarray:
    """99 on workdays, 24 on weekends; ten times as much from noon on (of load plus one)."""
    hours = np.arange(24 * days)
    load = np.where(hours // 24 % 7 < 5, WORKDAY, WEEKEND)
    return np.where(hours % 24 >= 12, 10 * (load + 1) - 1, load)


def expected(loads: np.ndarray, target: int, horizon: int) -> dict[str, float]:
    """The features of one target, hours counted from the first Monday; NaN in `loads` is an hour without sessions."""
    there = np.flatnonzero(~np.isnan(loads))
    server = server_hours(
        MONDAY + there,
        np.tile(loads[there], (8, 1)),
        first_hour=MONDAY + int(there[0]),
        grid_start=MONDAY + int(there[0]),
        last_hour=MONDAY + len(loads) - 1,
        fleet=FleetHours.of(MONDAY + np.arange(len(loads))),
        retire_after_hours=168,
    )
    told = usual_loads(server, np.array([MONDAY + target]), np.array([MONDAY + target - horizon]))
    return {name: float(values[0]) for name, values in told.items()}


@pytest.mark.parametrize(
    ("target", "usual"),
    [(24 * 34 + 30, WORKDAY), (24 * 34 + 44, 10 * (WORKDAY + 1) - 1), (24 * 32 + 34, WEEKEND), (24 * 32 + 40, 249.0)],
)
def test_the_usual_load_is_that_of_the_hour_and_the_kind_of_day(target, usual):
    loads = loads_of()
    log = np.log1p(usual)
    both = np.log1p(loads.reshape(DAYS, 24)[:28, target % 24]).mean()
    days = 20 if usual in (WORKDAY, 999.0) else 8
    assert expected(loads, target, 48)["usual_load"] == pytest.approx(np.expm1((days * log + both / 2) / (days + 0.5)))


def test_a_server_whose_load_has_doubled_is_expected_at_twice_the_usual():
    loads = loads_of(33)  # up to a Friday
    loads[24 * 31 :] = 2 * (loads[24 * 31 :] + 1) - 1
    told = expected(loads, 24 * 33 + 47, 48)
    usual = told["usual_load"] + 1
    assert (told["expected_load_24h"] + 1) / usual == pytest.approx(2.0, rel=0.05)
    assert (told["expected_load_72h"] + 1) / usual == pytest.approx(2 ** (2 / 3), rel=0.05)
    assert (told["expected_load_168h"] + 1) / usual == pytest.approx(2 ** (2 / 7), rel=0.05)


def test_idle_hours_are_no_part_of_what_is_usual():
    loads = loads_of()
    idle = loads.copy()
    idle[24 * 20 : 24 * 21] = np.nan
    told, without = (expected(each, 24 * 35 + 20, 48)["usual_load"] for each in (loads, idle))
    assert without == pytest.approx(told, rel=0.02)


def test_an_even_server_has_no_spread_and_an_uneven_one_that_of_its_logarithms():
    even = np.full(24 * DAYS, 50.0)
    assert expected(even, 24 * 35, 24)["spread_168h"] == pytest.approx(0.0, abs=1e-6)
    uneven = np.where(np.arange(24 * DAYS) // 24 % 2, 99.0, 399.0)
    assert expected(uneven, 24 * 35, 24)["spread_168h"] == pytest.approx(np.log(2), rel=0.05)


def test_a_server_in_its_first_day_has_no_usual_load():
    assert all(np.isnan(value) for value in expected(loads_of(1), 24, 1).values())


def test_after_one_day_all_hours_of_the_day_stand_in_for_those_not_seen():
    loads = np.full(48, 80.0)
    loads[:20] = np.nan
    loads[0] = 80.0
    told = expected(loads, 60, 20)
    assert told["usual_load"] == pytest.approx(80.0)
    assert told["expected_load_168h"] == pytest.approx(80.0)
