"""Window sums: adding partial sums exactly, whatever their order and size."""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from serverload.contracts.classes import MICROS, MICROS_LIMIT
from serverload.contracts.lines import MEASURES

_HALF = 2**31


def micros(column: str) -> Column:
    """Whole millionths of a stored measure, as a bigint held at the limit."""
    return F.round(F.greatest(F.lit(-9e12), F.least(F.lit(9e12), F.col(column))) * MICROS).cast("bigint")


def measure(micros_column: Column) -> Column:
    """The measure that a table stores for whole millionths."""
    return micros_column / F.lit(float(MICROS))


def sum_micros(column: Column) -> Column:
    """Add bigints exactly and without overflow; a sum beyond the limit is held at it.

    The halves are added apart, so that neither 64-bit sum can overflow and no order of adding shows.
    """
    high = F.sum(F.shiftright(column, 31))
    low = F.sum(column.bitwiseAND(F.lit(_HALF - 1)))
    estimate = high.cast("double") * _HALF + low
    clamped = F.signum(estimate) * F.lit(float(MICROS_LIMIT))
    return F.when(F.abs(estimate) >= MICROS_LIMIT, clamped.cast("bigint")).otherwise(
        F.try_add(F.try_multiply(high, F.lit(_HALF)), low)
    )


def newest_type() -> list[Column]:
    """Type and time of the newest event with a whole-number type; among equal times the largest type."""
    newest = F.max(F.when(F.col("server_type").isNotNull(), F.struct(F.col("server_type_at"), F.col("server_type"))))
    return [newest["server_type"].alias("server_type"), newest["server_type_at"].alias("server_type_at")]


def _newest_type_of_window() -> list[Column]:
    """As `newest_type`, of rows of one window: time within it and type packed into one bigint.

    A maximum over a struct makes Spark sort all rows, one over a bigint does not.
    """
    start = F.unix_micros("window_start")
    after, kind = F.unix_micros("server_type_at") - start, F.col("server_type").cast("bigint") + _HALF
    packed = F.max(F.shiftleft(after, 32) + kind)
    kind_again = (packed.bitwiseAND(F.lit(2 * _HALF - 1)) - _HALF).cast("int")
    at_again = F.timestamp_micros(start + F.shiftright(packed, 32))
    return [kind_again.alias("server_type"), at_again.alias("server_type_at")]


def added_windows(partials: DataFrame) -> DataFrame:
    """Add partial rows whose measures are micros (bigint), one row a server and window; measures stay micros."""
    return partials.groupBy("server_ip", "window_start").agg(
        F.sum("sessions").alias("sessions"),
        *(sum_micros(F.col(name)).alias(name) for name in MEASURES),
        F.max("last_event").alias("last_event"),
        *_newest_type_of_window(),
    )


def window_sums(load_windows: DataFrame) -> DataFrame:
    """One row per server and window of `load_windows`, partial sums added, measures as micros (bigint)."""
    as_micros = load_windows.withColumns({name: micros(name) for name in MEASURES})
    return added_windows(as_micros)


def stored_windows(sums: DataFrame) -> DataFrame:
    """Turn micros back into the doubles that tables store."""
    return sums.withColumns({name: measure(F.col(name)) for name in MEASURES})


def any_differs(left: list[Column], right: list[Column]) -> Column:
    """Tell whether two lists of columns differ anywhere, null being equal to null."""
    return reduce(Column.__or__, (~a.eqNullSafe(b) for a, b in zip(left, right, strict=True)))
