"""The one list of feature columns, their Spark types and whether they can be null."""

from dataclasses import dataclass

from serverload.contracts.lines import MEASURES

PEAKS: tuple[str, ...] = ("peak_load", *(f"peak_{column}" for column in MEASURES[1:]))
"""The eight peak columns of `hourly_load`, the load itself first."""

ORIGIN_LAGS: tuple[int, ...] = (0, 1, 2, 3, 4, 7, 12, 19)
TARGET_LAGS: tuple[int, ...] = (72, 96, 168, 730)
SAME_HOUR_WEEKS: tuple[int, ...] = (1, 2, 3, 4)
LEVEL_DAYS: tuple[int, ...] = (1, 3, 7)
"""How many of the newest days are held against what is usual."""


@dataclass(frozen=True)
class FeatureColumn:
    """One feature: name, Spark SQL type, meaning, and whether it can be null."""

    name: str
    type: str
    comment: str
    nullable: bool = False


_CALENDAR = (
    FeatureColumn("year", "INT", "year of the target hour"),
    FeatureColumn("month", "INT", "month of the target hour, 1..12"),
    FeatureColumn("iso_week", "INT", "ISO week of the target hour, 1..53"),
    FeatureColumn("day_of_month", "INT", "day of the target hour, 1..31"),
    FeatureColumn("hour_of_day", "INT", "hour of the target hour, 0..23"),
    FeatureColumn("iso_day_of_week", "INT", "day of week of the target hour, Monday 1"),
    FeatureColumn("is_us_federal_holiday", "BOOLEAN", "target day is a US federal holiday, observed days too"),
    FeatureColumn("is_business_hour", "BOOLEAN", "target hour is 8..18"),
    FeatureColumn("is_morning", "BOOLEAN", "target hour is 6..9"),
    FeatureColumn("trend_days", "INT", "whole days from 1970-01-01 to the target"),
)
_LAGS = (
    *(
        FeatureColumn(f"peak_load_origin_lag_{k}h", "DOUBLE", f"peak load {k} h before the origin", True)
        for k in ORIGIN_LAGS
    ),
    *(
        FeatureColumn(
            f"peak_load_lag_{k}h",
            "DOUBLE",
            f"peak load {k} h before the target; null where that is after the origin",
            True,
        )
        for k in TARGET_LAGS
    ),
)
_WEEK_MEANS = tuple(
    FeatureColumn(f"mean_7d_{peak}", "DOUBLE", f"mean {peak} over the 7 whole UTC days before the origin's day", True)
    for peak in PEAKS
)
_SAME_HOURS = (
    *(
        FeatureColumn(
            f"same_hour_{w}w", "DOUBLE", f"peak load {w} weeks before the target; null after the origin", True
        )
        for w in SAME_HOUR_WEEKS
    ),
    FeatureColumn("same_hour_mean", "DOUBLE", "mean of the known same hours of the last 4 weeks", True),
    FeatureColumn("same_hour_min", "DOUBLE", "lowest of the known same hours of the last 4 weeks", True),
    FeatureColumn("same_hour_max", "DOUBLE", "highest of the known same hours of the last 4 weeks", True),
)
_USUAL = (
    FeatureColumn(
        "usual_load",
        "DOUBLE",
        "geometric mean peak load of the target's hour of day on the workdays, or weekend days, among the 28 whole"
        " UTC days before the origin's day; observed hours only",
        True,
    ),
    *(
        FeatureColumn(
            f"expected_load_{24 * days}h",
            "DOUBLE",
            f"usual_load times how the observed hours of the last {24 * days} h compare with what was usual for them",
            True,
        )
        for days in LEVEL_DAYS
    ),
    FeatureColumn(
        f"spread_{24 * LEVEL_DAYS[-1]}h",
        "DOUBLE",
        f"standard deviation of log(load / usual load) over the observed hours of the last {24 * LEVEL_DAYS[-1]} h",
        True,
    ),
)
NULLABLE_FEATURES: tuple[FeatureColumn, ...] = (*_LAGS, *_WEEK_MEANS, *_SAME_HOURS, *_USUAL)
UNKNOWN_LOAD = -1.0
"""What a forest takes an unknown one for: below any that there can be, so that one cut sets it apart."""
_MISSING = tuple(
    FeatureColumn(f"missing_{column.name}", "BOOLEAN", f"{column.name} is null") for column in NULLABLE_FEATURES
)

CALENDAR_FEATURES: tuple[str, ...] = tuple(column.name for column in _CALENDAR)
CALENDAR_POSITION: tuple[str, ...] = ("year", "month", "iso_week", "day_of_month", "trend_days")
"""Where in the calendar a target lies: a history that has not seen the year around can tell nothing by it."""

FEATURES: tuple[FeatureColumn, ...] = (
    FeatureColumn("horizon_hours", "INT", "hours from the origin to the target"),
    *_CALENDAR,
    *NULLABLE_FEATURES,
    *_MISSING,
)
"""All features in table order; `features` is server_ip, target_hour, these and label."""

ARTICLE_FEATURES: tuple[str, ...] = (
    *CALENDAR_FEATURES,
    *(column.name for column in _LAGS),
    *(column.name for column in _WEEK_MEANS),
    *(f"missing_{column.name}" for column in (*_LAGS, *_WEEK_MEANS)),
)
"""The seed article's own set: meant for the 48 h horizon alone."""

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "full": tuple(column.name for column in FEATURES),
    "article": ARTICLE_FEATURES,
}

FEATURE_DEFINITION = 1
"""Counts the meanings that features have had: raise it with a change after which older models no longer fit."""
