"""Which part of the history a model is trained and tested on: `full`, `one-month`, or FROM:TO."""

from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.errors import InputError
from serverload.contracts.instants import from_micros, parse_utc_time

MONTH_DAYS = 31


def checked_range(chosen: str) -> None:
    """Raises InputError for what is no range, before anything is read."""
    if chosen not in ("full", "one-month"):
        parsed_range(chosen)


def rows_in_range(features: DataFrame, chosen: str) -> DataFrame:
    """Rows of `features` whose target lies in a range: all, the newest 31 days, or FROM up to before TO.

    FROM and TO are UTC dates or times, either may be left out. Raises InputError for anything else.
    """
    if chosen == "full":
        return features
    if chosen == "one-month":
        newest = features.agg(sf.unix_micros(sf.max("target_hour"))).collect()[0][0]
        start = None if newest is None else from_micros(newest) + timedelta(hours=1) - timedelta(days=MONTH_DAYS)
        return features if start is None else features.where(sf.col("target_hour") >= sf.lit(start))
    first, last = parsed_range(chosen)
    after = sf.lit(True) if first is None else sf.col("target_hour") >= sf.lit(first)
    before = sf.lit(True) if last is None else sf.col("target_hour") < sf.lit(last)
    return features.where(after & before)


def parsed_range(chosen: str) -> tuple[datetime | None, datetime | None]:
    """FROM:TO as two times, told apart at the colon that leaves two times on its sides. Raises InputError."""
    for at in (place for place, sign in enumerate(chosen) if sign == ":"):
        try:
            first, last = (parse_utc_time(part) if part else None for part in (chosen[:at], chosen[at + 1 :]))
        except ValueError:
            continue
        if first is not None and last is not None and first >= last:
            raise InputError(f"{chosen!r} ends before it begins", where="--range")
        return first, last
    hint = "full, one-month, or FROM:TO as 2016-03-01:2016-06-01"
    raise InputError(f"{chosen!r} is no range", where="--range", hint=hint)
