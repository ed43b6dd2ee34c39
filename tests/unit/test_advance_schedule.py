"""When an advance is due, on a clock that stands where the test puts it."""

from datetime import UTC, datetime

import pytest

from streaming.schedule import AdvanceSchedule

NOON = datetime(2016, 6, 6, 12, tzinfo=UTC)
BEFORE = dict.fromkeys("abcd", NOON.replace(hour=11, minute=59))
"""Four servers, of which the second newest tells the time."""


def at(minute: int, hour: int = 12) -> datetime:
    return NOON.replace(hour=hour, minute=minute)


@pytest.fixture
def schedule() -> AdvanceSchedule:
    """Every 10 s, sessions may be 10 minutes late; an advance of 2 s, by which hour 10 is closed, has ended at 100."""
    made = AdvanceSchedule(10.0, 10, BEFORE, 90.0)
    made.advancing()
    made.advanced(2.0, 100.0)
    return made


def due_from(schedule: AdvanceSchedule) -> float:
    """The first of the coming seconds at which it is due."""
    return next(second for second in range(90, 1000) if schedule.due(float(second)))


def test_a_first_advance_is_due_after_an_interval() -> None:
    assert due_from(AdvanceSchedule(10.0, 10, {}, 100.0)) == 110


def test_the_first_hour_that_closes_after_a_start_is_not_waited_for() -> None:
    begun = AdvanceSchedule(10.0, 10, BEFORE, 100.0)
    begun.batch({"a": at(10), "b": at(10)}, behind=False)
    assert due_from(begun) == 100


def test_a_fleet_that_nobody_knew_is_followed_from_its_first_sessions() -> None:
    begun = AdvanceSchedule(10.0, 10, {}, 100.0)
    begun.batch({"a": at(9), "b": at(9)}, behind=False)
    assert due_from(begun) == 100
    begun.advancing()
    begun.advanced(2.0, 100.0)
    assert due_from(begun) == 110


def test_while_no_hour_closes_it_is_every_interval(schedule: AdvanceSchedule) -> None:
    assert due_from(schedule) == 110
    schedule.batch({"a": at(9), "b": at(9)}, behind=False)
    assert due_from(schedule) == 110
    schedule.batch({}, behind=False)
    assert due_from(schedule) == 110


def test_long_advances_that_close_no_hour_leave_ingest_four_times_as_long(schedule: AdvanceSchedule) -> None:
    schedule.advancing()
    schedule.advanced(8.0, 120.0)
    assert due_from(schedule) == 152


def test_when_an_hour_has_closed_ingest_has_as_long_as_the_advance_took(schedule: AdvanceSchedule) -> None:
    schedule.batch({"a": at(10), "b": at(10)}, behind=False)
    assert due_from(schedule) == 102


def test_after_a_long_advance_an_hour_that_has_closed_waits_an_interval(schedule: AdvanceSchedule) -> None:
    schedule.advancing()
    schedule.advanced(30.0, 130.0)
    schedule.batch({"a": at(10), "b": at(10)}, behind=False)
    assert due_from(schedule) == 140


def test_one_clock_that_is_ahead_closes_nothing_and_an_event_that_is_late_takes_nothing_back(
    schedule: AdvanceSchedule,
) -> None:
    schedule.batch({"a": at(0, hour=15)}, behind=False)
    assert due_from(schedule) == 110
    schedule.batch({"b": at(10)}, behind=False)
    assert due_from(schedule) == 102
    schedule.batch({"a": at(0), "b": at(0)}, behind=False)
    assert due_from(schedule) == 102


def test_an_hour_that_closes_while_an_advance_runs_has_the_next_one(schedule: AdvanceSchedule) -> None:
    schedule.batch({"a": at(10), "b": at(10)}, behind=False)
    schedule.advancing()
    schedule.batch({"a": at(10, hour=13), "b": at(10, hour=13)}, behind=False)
    schedule.advanced(3.0, 105.0)
    assert due_from(schedule) == 108


def test_an_advance_is_not_repeated_at_once_where_the_tables_see_it_otherwise(schedule: AdvanceSchedule) -> None:
    schedule.batch({"a": at(10), "b": at(10)}, behind=False)
    schedule.advancing()
    schedule.advanced(2.0, 104.0)
    assert due_from(schedule) == 114


def test_behind_a_backlog_closed_hours_hurry_nobody(schedule: AdvanceSchedule) -> None:
    schedule.batch({"a": at(0, hour=15), "b": at(0, hour=15)}, behind=True)
    assert due_from(schedule) == 110
    schedule.advancing()
    schedule.advanced(5.0, 115.0)
    assert due_from(schedule) == 135
    schedule.batch({"a": at(0, hour=16), "b": at(0, hour=16)}, behind=False)
    assert due_from(schedule) == 120
