"""What the calendar says of a target hour, in UTC: the features that need no history."""

from datetime import date
from functools import cache, lru_cache

import holidays
import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.feature_columns import CALENDAR_FEATURES

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@cache
def _federal_holidays(year: int) -> tuple[int, ...]:
    """Days since 1970-01-01 of a year's US federal holidays, the days they are observed on too.

    The country-wide `public` category holds the federal ones alone; states' own need a subdivision.
    A New Year's Day observed on 31 December stands in the old year's list.
    """
    days = holidays.country_holidays("US", observed=True, years=year)
    return tuple(day.toordinal() - _EPOCH_ORDINAL for day in days if day.year == year)


@lru_cache(maxsize=64)
def _day_table(first_day: int, last_day: int) -> pl.DataFrame:
    """The columns that are the same all day long, for each day (since 1970-01-01) of a range."""
    days = pl.Series("trend_days", np.arange(first_day, last_day + 1, dtype=np.int32))
    dates = days.cast(pl.Date)
    festive = {day for year in dates.dt.year().unique() for day in _federal_holidays(year)}
    return pl.DataFrame(
        {
            "year": dates.dt.year().cast(pl.Int32),
            "month": dates.dt.month().cast(pl.Int32),
            "iso_week": dates.dt.week().cast(pl.Int32),
            "day_of_month": dates.dt.day().cast(pl.Int32),
            "iso_day_of_week": dates.dt.weekday().cast(pl.Int32),
            "is_us_federal_holiday": days.is_in(sorted(festive)),
            "trend_days": days,
        }
    )


def calendar_columns(target_hours: NDArray[np.int64]) -> pl.DataFrame:
    """The columns CALENDAR_FEATURES of each target hour, in that order.

    Worked out once per day of the range that the targets span, then looked up.
    """
    days, hour_of_day = np.divmod(target_hours, 24)
    first_day = int(days.min()) if days.size else 0
    last_day = int(days.max()) if days.size else 0
    per_day = _day_table(first_day, last_day)[days - first_day]
    return per_day.with_columns(
        pl.Series("hour_of_day", hour_of_day.astype(np.int32)),
        pl.Series("is_business_hour", (hour_of_day >= 8) & (hour_of_day <= 18)),
        pl.Series("is_morning", (hour_of_day >= 6) & (hour_of_day <= 9)),
    ).select(CALENDAR_FEATURES)
