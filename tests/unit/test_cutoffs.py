"""Where a backtest cuts the history, on drawn days."""

from datetime import UTC, datetime, timedelta

import pytest

from batch.cutoffs import HistoryDays
from batch.cutoffs import rolling_cutoffs as cutoffs_of
from serverload.contracts.errors import InputError
from serverload.contracts.instants import EPOCH

START = datetime(2016, 6, 6, tzinfo=UTC)


def history(days: int, *, without: range = range(0), first_hour: int = 1) -> HistoryDays:
    """Ten rows on each day from START on, none on some."""
    number = (START - EPOCH).days
    rows = {number + day: 10 for day in range(days) if day not in without}
    return HistoryDays(rows, START + timedelta(hours=first_hour), START + timedelta(days=days))


def rolling_cutoffs(days: HistoryDays, *, wanted: int, step_days: int) -> tuple[datetime, ...]:
    return cutoffs_of(days, days.start, wanted=wanted, step_days=step_days)


def days_of(cutoffs: tuple[datetime, ...]) -> list[int]:
    return [(cutoff - START).days for cutoff in cutoffs]


def test_cutoffs_roll_back_from_the_end_a_step_apart():
    cutoffs = rolling_cutoffs(history(100), wanted=3, step_days=7)

    assert days_of(cutoffs) == [79, 86, 93]
    assert {cutoff.time().isoformat() for cutoff in cutoffs} == {"00:00:00"}


def test_four_weeks_lie_before_the_first_cutoff_and_fewer_are_found_than_wanted():
    assert days_of(rolling_cutoffs(history(28 + 21), wanted=8, step_days=7)) == [28, 35, 42]
    assert days_of(rolling_cutoffs(history(28 + 20), wanted=8, step_days=7)) == [34, 41]


def test_five_weeks_have_room_for_one_cutoff_although_the_first_hour_has_no_features():
    assert days_of(rolling_cutoffs(history(35, first_hour=6), wanted=8, step_days=7)) == [28]


def test_a_history_without_room_for_one_is_told_in_one_line():
    with pytest.raises(InputError) as told:
        rolling_cutoffs(history(34), wanted=8, step_days=7)

    assert str(told.value) == (
        "features: no room for a cut-off with 28 days before it and 7 to test: 2016-06-06 to 2016-07-09; "
        "backfill more history, or give fewer --step-days"
    )


def test_days_without_anything_to_test_are_passed_over_and_older_ones_taken():
    cutoffs = rolling_cutoffs(history(70, without=range(49, 63)), wanted=2, step_days=7)

    assert days_of(cutoffs) == [42, 63]  # and not 49 or 56, after which the fleet was silent for two weeks


def test_a_single_day_is_enough_to_test_on():
    cutoffs = rolling_cutoffs(history(70, without=range(49, 55)), wanted=4, step_days=7)

    assert days_of(cutoffs) == [42, 49, 56, 63]


def test_what_can_be_tested_may_be_less_than_what_can_be_trained_on():
    testable = HistoryDays({(START - EPOCH).days + day: 5 for day in range(30, 56)}, START, START + timedelta(days=56))

    assert days_of(cutoffs_of(testable, START, wanted=8, step_days=7)) == [28, 35, 42, 49]
    assert days_of(cutoffs_of(testable, START + timedelta(days=10), wanted=8, step_days=7)) == [42, 49]
