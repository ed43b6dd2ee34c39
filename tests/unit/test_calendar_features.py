"""What the calendar says of an hour, typed from a paper calendar."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverload.contracts.feature_columns import CALENDAR_FEATURES
from serverload.contracts.instants import hour_number
from serverload.steps.calendar_features import calendar_columns


def at(*moments: str) -> pl.DataFrame:
    hours = [hour_number(datetime.fromisoformat(moment).replace(tzinfo=UTC)) for moment in moments]
    return calendar_columns(np.array(hours, dtype=np.int64))


@pytest.mark.parametrize(
    ("moment", "year", "month", "iso_week", "day_of_month", "hour_of_day", "iso_day_of_week", "trend_days"),
    [
        ("1970-01-01 00:00", 1970, 1, 1, 1, 0, 4, 0),
        ("2016-01-01 00:00", 2016, 1, 53, 1, 0, 5, 16801),
        ("2016-01-03 23:00", 2016, 1, 53, 3, 23, 7, 16803),
        ("2016-01-04 00:00", 2016, 1, 1, 4, 0, 1, 16804),
        ("2015-12-31 23:00", 2015, 12, 53, 31, 23, 4, 16800),
        ("2016-02-29 12:00", 2016, 2, 9, 29, 12, 1, 16860),
        ("2016-03-01 00:00", 2016, 3, 9, 1, 0, 2, 16861),
        ("2017-02-28 23:00", 2017, 2, 9, 28, 23, 2, 17225),
        ("2018-12-31 05:00", 2018, 12, 1, 31, 5, 1, 17896),
        ("2020-12-31 10:00", 2020, 12, 53, 31, 10, 4, 18627),
        ("2100-02-28 23:00", 2100, 2, 8, 28, 23, 7, 47540),
        ("2100-03-01 00:00", 2100, 3, 9, 1, 0, 1, 47541),
    ],
)
def test_parts_of_a_date(moment, year, month, iso_week, day_of_month, hour_of_day, iso_day_of_week, trend_days):
    row = at(moment).row(0, named=True)
    assert (row["year"], row["month"], row["iso_week"], row["day_of_month"]) == (year, month, iso_week, day_of_month)
    assert (row["hour_of_day"], row["iso_day_of_week"], row["trend_days"]) == (hour_of_day, iso_day_of_week, trend_days)


@pytest.mark.parametrize(
    ("day", "holiday"),
    [
        ("2010-07-04", True),  # a Sunday
        ("2010-07-05", True),  # observed
        ("2010-12-31", True),  # New Year 2011, a Saturday, observed in the old year
        ("2016-01-18", True),  # Martin Luther King
        ("2016-02-15", True),  # Washington
        ("2016-05-30", True),  # Memorial
        ("2016-09-05", True),  # Labor
        ("2016-10-10", True),  # Columbus
        ("2016-11-11", True),  # Veterans
        ("2016-11-24", True),  # Thanksgiving
        ("2016-11-25", False),  # the day after: a holiday in some states
        ("2016-12-24", False),
        ("2016-12-26", True),  # Christmas, a Sunday, observed
        ("2017-02-14", False),  # Valentine's: unofficial
        ("2020-06-19", False),  # Juneteenth: federal since 2021
        ("2021-06-18", True),  # observed
        ("2021-06-19", True),
    ],
)
def test_federal_holidays_and_the_days_they_are_observed_on(day, holiday):
    whole_day = at(f"{day} 00:00", f"{day} 23:00")
    assert whole_day["is_us_federal_holiday"].to_list() == [holiday, holiday]


def test_business_hours_are_8_to_18_and_mornings_6_to_9():
    day = at(*(f"2016-06-01 {hour:02}:00" for hour in range(24)))
    assert [hour for hour in range(24) if day["is_business_hour"][hour]] == [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert [hour for hour in range(24) if day["is_morning"][hour]] == [6, 7, 8, 9]


def test_the_columns_and_their_types_are_the_contract():
    frame = at("2016-06-01 00:00")
    assert tuple(frame.columns) == CALENDAR_FEATURES
    assert {frame[name].dtype for name in CALENDAR_FEATURES if name.startswith("is_")} == {pl.Boolean}
    assert {frame[name].dtype for name in CALENDAR_FEATURES if not name.startswith("is_")} == {pl.Int32}


def test_no_hours_give_no_rows_and_order_and_repeats_are_kept():
    assert at().shape == (0, 10)
    assert at("2016-06-02 00:00", "2015-06-01 05:00", "2016-06-02 00:00")["year"].to_list() == [2016, 2015, 2016]


@given(st.integers(0, hour_number(datetime(2101, 1, 3, tzinfo=UTC))))
def test_any_hour_agrees_with_the_standard_library(hour):
    day = date(1970, 1, 1) + timedelta(days=hour // 24)
    row = calendar_columns(np.array([hour], dtype=np.int64)).row(0, named=True)
    assert (row["year"], row["month"], row["day_of_month"]) == (day.year, day.month, day.day)
    assert (row["iso_week"], row["iso_day_of_week"]) == (day.isocalendar().week, day.isoweekday())
    assert (row["hour_of_day"], row["trend_days"]) == (hour % 24, hour // 24)
