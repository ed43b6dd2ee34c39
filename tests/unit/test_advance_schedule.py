"""When an advance is due, on a clock that stands where the test puts it."""

from datetime import UTC, datetime

import pytest

from serverload.contracts.instants import hour_number
from streaming.schedule import AdvanceSchedule

NOON = datetime(2016, 6, 6, 12, tzinfo=UTC)
TEN = hour_number(NOON) - 2


@pytest.fixture
def schedule() -> AdvanceSchedule:
    """Every 10 s, sessions may be 10 minutes late; an advance of 3 s, by which hour 10 is closed, has ended at 100."""
    made = AdvanceSchedule(10.0, 10, 90.0)
    made.advanced(TEN, begun=97.0, now=100.0)
    return made


def due_from(schedule: AdvanceSchedule) -> float:
    """The first of the coming seconds at which it is due."""
    return next(second for second in range(100, 1000) if schedule.due(float(second)))


def test_a_first_advance_is_due_after_an_interval() -> None:
    assert due_from(AdvanceSchedule(10.0, 10, 100.0)) == 110


def test_without_a_new_hour_it_is_every_interval(schedule: AdvanceSchedule) -> None:
    assert due_from(schedule) == 110
    schedule.batch(NOON.replace(minute=9), behind=False, now=101.0)
    assert due_from(schedule) == 110
    schedule.batch(None, behind=False, now=102.0)
    assert due_from(schedule) == 110


def test_when_an_hour_may_have_closed_ingest_has_as_long_as_the_advance_took(schedule: AdvanceSchedule) -> None:
    schedule.batch(NOON.replace(minute=10), behind=False, now=101.0)
    assert due_from(schedule) == 103


def test_an_hour_that_has_closed_is_awaited_no_more(schedule: AdvanceSchedule) -> None:
    schedule.batch(NOON.replace(minute=10), behind=False, now=101.0)
    schedule.advanced(TEN + 1, begun=103.0, now=104.0)
    assert due_from(schedule) == 114


def test_a_clock_that_is_ahead_is_not_followed_for_long(schedule: AdvanceSchedule) -> None:
    schedule.batch(NOON.replace(hour=15), behind=False, now=101.0)
    schedule.advanced(TEN, begun=158.0, now=159.0)
    assert due_from(schedule) == 160
    schedule.advanced(TEN, begun=160.0, now=161.0)
    schedule.batch(NOON.replace(hour=15, minute=5), behind=False, now=162.0)
    assert due_from(schedule) == 171


def test_an_advance_that_failed_is_tried_again_after_an_interval(schedule: AdvanceSchedule) -> None:
    schedule.batch(NOON.replace(minute=10), behind=False, now=101.0)
    schedule.advanced(None, begun=103.0, now=104.0)
    assert due_from(schedule) == 114


def test_an_advance_longer_than_the_interval_is_still_followed_after_it(schedule: AdvanceSchedule) -> None:
    schedule.advanced(TEN, begun=100.0, now=130.0)
    schedule.batch(NOON.replace(minute=10), behind=False, now=131.0)
    assert due_from(schedule) == 140


def test_behind_a_backlog_ingest_is_alone_for_longer(schedule: AdvanceSchedule) -> None:
    schedule.batch(NOON.replace(hour=15), behind=True, now=101.0)
    assert due_from(schedule) == 112
    schedule.advanced(TEN, begun=112.0, now=113.0)
    assert due_from(schedule) == 123
    schedule.batch(NOON.replace(hour=16), behind=False, now=114.0)
    assert due_from(schedule) == 114
