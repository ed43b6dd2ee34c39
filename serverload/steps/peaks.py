"""Hourly peaks: the busiest 5-minute window of each server and hour."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.lines import MEASURES, TOTAL_LOAD
from serverload.contracts.tables import TABLES
from serverload.steps.windows import measure


def hour_of(time: str) -> Column:
    """Start of the UTC hour of a timestamp column."""
    return F.timestamp_seconds(F.floor(F.unix_timestamp(time) / 3600) * 3600)


def hour_number_of(time: str) -> Column:
    """The hour that a timestamp column lies in, as whole hours since 1970."""
    return F.floor(F.unix_seconds(time) / 3600)


def month_of(time: str) -> Column:
    """UTC month of a timestamp column as YYYY-MM, the partition value."""
    return F.date_format(time, "yyyy-MM")


def hourly_peaks(windows: DataFrame) -> DataFrame:
    """Keep, per server and hour, the measures of the 5-minute window with the largest load.

    `windows`: one row per server and window, measures in micros (bigint). An arg-max, not a maximum per
    column: every peak value is of that one window. Among equal loads the earliest window wins.
    """
    rank = F.struct(F.col(TOTAL_LOAD), -F.unix_timestamp("window_start"))
    busiest = F.max_by(F.struct("window_start", *MEASURES), rank)
    per_hour = (
        windows.groupBy("server_ip", hour_of("window_start").alias("hour"))
        .agg(F.sum("sessions").alias("sessions"), busiest.alias("busiest"))
        .withColumns({peak: measure(F.col(f"busiest.{name}")) for peak, name in zip(PEAKS, MEASURES, strict=True)})
        .withColumn("peak_window_start", F.col("busiest.window_start"))
        .withColumn("month", month_of("hour"))
    )
    return per_hour.select(*TABLES["hourly_load"].column_names)
