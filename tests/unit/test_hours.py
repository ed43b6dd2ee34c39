"""Hour states, drawn as strips: `#` observed, `0` idle, `?` missing, `-` retired, ` ` before the first hour."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverload.contracts.feature_columns import PEAKS
from serverload.steps.hours import FleetHours, HourState, ServerHours, server_hours, unseen_server

MARKS = {
    HourState.ABSENT: " ",
    HourState.OBSERVED: "#",
    HourState.IDLE: "0",
    HourState.MISSING: "?",
    HourState.RETIRED: "-",
}


def hours_of(strip: str) -> np.ndarray:
    return np.flatnonzero([mark == "#" for mark in strip]).astype(np.int64)


def drawn(server: str, fleet: str, retire_after_hours: int = 3, first_hour: int | None = None) -> ServerHours:
    """A server on a grid from hour 0; its peaks in hour H are H + 1, H + 1.1, .. H + 1.7."""
    hours = hours_of(server)
    peaks = 1 + hours + np.arange(len(PEAKS))[:, None] / 10
    first = int(hours.min()) if first_hour is None else first_hour
    return server_hours(
        hours,
        peaks,
        first_hour=first,
        grid_start=0,
        last_hour=len(server) - 1,
        fleet=FleetHours.of(hours_of(fleet)),
        retire_after_hours=retire_after_hours,
    )


def strip(server: ServerHours) -> str:
    return "".join(MARKS[HourState(state)] for state in server.states)


@pytest.mark.parametrize(
    ("server", "fleet", "states"),
    [
        ("###", "###", "###"),
        ("#..#", "####", "#00#"),
        ("#..#", "#..#", "#??#"),
        ("#..#", "##.#", "#0?#"),
        ("..#.", "####", "  #0"),
        ("#......", "#######", "#000---"),
        ("#......#.....", "#############", "#000---#000--"),
        ("#......", "#.....#", "#???---"),
        ("#.#....", "#######", "#0#000-"),
    ],
    ids=["busy", "idle", "missing", "idle, missing", "newcomer", "retired", "back", "retired in silence", "restarted"],
)
def test_states_of_hours(server, fleet, states):
    assert strip(drawn(server, fleet)) == states


def test_idle_hours_are_zero_in_every_peak_and_other_unseen_hours_unknown():
    server = drawn("#.....", "##.###", retire_after_hours=3)
    assert strip(server) == "#0?0--"
    assert server.peaks[:, 0].tolist() == [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    assert server.peaks[:, 1].tolist() == [0] * 8
    assert np.isnan(server.peaks[:, 2]).all()
    assert server.peaks[:, 3].tolist() == [0] * 8
    assert np.isnan(server.peaks[:, 4:]).all()
    assert server.counting.tolist() == [True, True, False, True, False, False]


def test_retired_after_168_hours_without_one_observed():
    server = drawn("#" + "." * 170, "#" * 171, retire_after_hours=168)
    assert strip(server) == "#" + "0" * 168 + "--"


def test_a_slice_that_does_not_show_the_last_observed_hour_takes_it_for_none():
    assert strip(drawn("....#..", "#######", first_hour=-50)) == "----#00"


def test_hours_outside_the_grid_are_left_out():
    server = server_hours(
        np.array([7, 4, 5]),
        np.tile([7.0, 4.0, 5.0], (8, 1)),
        first_hour=4,
        grid_start=5,
        last_hour=6,
        fleet=FleetHours.of(np.array([4, 5, 6, 7])),
        retire_after_hours=3,
    )
    assert (server.grid_start, server.last_hour, strip(server)) == (5, 6, "#0")
    assert server.peaks[0].tolist() == [5, 0]


@pytest.mark.parametrize(
    ("server", "awaits"), [("#..", True), (".#...", False), ("..#..", True), ("....#", True), ("#....#....", False)]
)
def test_a_forecast_is_due_while_one_of_the_last_hours_is_observed(server, awaits):
    assert drawn(server + "##", "#" * len(server) + "##").awaits_forecast(len(server) - 1) is awaits


def test_an_unseen_server_has_no_hours_and_awaits_no_forecast():
    server = unseen_server(400_000, 168)
    assert (server.last_hour, server.states.size, server.awaits_forecast(400_000)) == (400_000, 0, False)


def test_fleet_hours_survive_shipping_and_know_nothing_outside():
    fleet = pickle.loads(pickle.dumps(FleetHours.of(np.array([405_000, 405_003, 405_009]))))
    asked = np.array([0, 404_999, 405_000, 405_001, 405_003, 405_009, 405_010, 405_016, 900_000])
    assert fleet.contains(asked).tolist() == [False, False, True, False, True, True, False, False, False]
    assert not FleetHours.of(np.array([], dtype=np.int64)).contains(asked).any()


def test_seven_years_of_fleet_hours_take_8_kb():
    assert len(FleetHours.of(np.arange(65_700)).packed) == 8_213


@given(st.sets(st.integers(-50, 50)), st.lists(st.integers(-60, 60)))
def test_fleet_hours_contain_what_they_were_made_of(held, asked):
    fleet = FleetHours.of(np.array(sorted(held), dtype=np.int64))
    assert fleet.contains(np.array(asked, dtype=np.int64)).tolist() == [hour in held for hour in asked]
