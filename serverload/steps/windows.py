"""Window sums: adding partial sums exactly, whatever their order and size."""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from serverload.contracts.classes import MICROS, MICROS_LIMIT
from serverload.contracts.lines import MEASURES
from serverload.steps.window_rows import WINDOWS_SCHEMA

_HALF = 2**31
_BEYOND = MICROS_LIMIT // _HALF + 2
"""A high half that is surely beyond the limit, and still fits into 64 bits."""
_EXACT = 4_000_000_000 * MICROS
"""Up to here a stored double gives back the very micros that it was made of."""


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
    high, low = F.sum(F.shiftright(column, 31)), F.sum(column.bitwiseAND(F.lit(_HALF - 1)))
    carried = high + F.shiftright(low, 31)
    whole = F.greatest(F.lit(-_BEYOND), F.least(F.lit(_BEYOND), carried)) * _HALF + low.bitwiseAND(F.lit(_HALF - 1))
    return F.greatest(F.lit(-MICROS_LIMIT), F.least(F.lit(MICROS_LIMIT), whole))


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


def window_sums(load_windows: DataFrame, *also_by: str) -> DataFrame:
    """One row per server and window of `load_windows`, partial sums added, measures as micros (bigint).

    `also_by` names further columns to keep rows apart by.
    """
    as_micros = load_windows.withColumns({name: micros(name) for name in MEASURES})
    return as_micros.groupBy("server_ip", "window_start", *also_by).agg(
        F.sum("sessions").alias("sessions"),
        *(sum_micros(F.col(name)).alias(name) for name in MEASURES),
        F.max("last_event").alias("last_event"),
        *_newest_type_of_window(),
    )


def closed_as_one(load_windows: DataFrame, closed_until: datetime) -> DataFrame:
    """Rows of `load_windows` without their batch where the window began before a time: nothing keeps these apart."""
    return load_windows.withColumn("batch_id", F.when(F.col("window_start") >= F.lit(closed_until), F.col("batch_id")))


def re_added(sums: DataFrame, partials: DataFrame) -> DataFrame:
    """The rows to put in the place of partial sums: `sums` of them, one row a window, measures as tables store them.

    Both have the columns that the sums are kept apart by. A window with a measure beyond what a double holds to the
    micro keeps its partial rows, so that no later sum is another than it was.
    """
    keys = [name for name in sums.columns if name in ("server_ip", "window_start", "source", "batch_id")]
    inexact = reduce(Column.__or__, (F.abs(F.col(name)) > _EXACT for name in MEASURES))
    exact = sums.where(~inexact).withColumns({name: measure(F.col(name)) for name in MEASURES})
    others = sums.where(inexact).select(*(F.col(name).alias(f"of_{name}") for name in keys))
    same = reduce(Column.__and__, (F.col(name).eqNullSafe(F.col(f"of_{name}")) for name in keys))
    return exact.unionByName(partials.join(F.broadcast(others), same, "left_semi"))


def add_partials(partials: Sequence[pa.Table]) -> pa.Table:
    """Add tables of WINDOWS_SCHEMA, one row a server and window: what `window_sums` does, before there is a table."""
    rows = pa.concat_tables([WINDOWS_SCHEMA.empty_table(), *partials])
    start, type_at = (rows[name].cast(pa.int64()) for name in ("window_start", "server_type_at"))
    kind = pc.add(rows["server_type"].cast(pa.int64()), _HALF)
    summed = {"sessions": rows["sessions"]}
    for name in MEASURES:
        whole = rows[name].to_numpy()
        summed |= {f"{name} high": whole >> 31, f"{name} low": whole & (_HALF - 1)}
    newest = {"last_event": rows["last_event"], "type": pc.add(pc.shift_left(pc.subtract(type_at, start), 32), kind)}
    keys = {name: rows[name] for name in ("server_ip", "window_start")}
    groups = pa.table(keys | summed | newest).group_by(list(keys), use_threads=False)
    sums = groups.aggregate([*((name, "sum") for name in summed), *((name, "max") for name in newest)])
    columns = {name: sums[name] for name in keys} | {"sessions": sums["sessions_sum"]}
    columns |= {name: _held(*(sums[f"{name} {half}_sum"].to_numpy() for half in ("high", "low"))) for name in MEASURES}
    columns["last_event"] = sums["last_event_max"]
    columns["server_type"] = pc.subtract(pc.bit_wise_and(sums["type_max"], 2 * _HALF - 1), _HALF)
    columns["server_type_at"] = pc.add(sums["window_start"].cast(pa.int64()), pc.shift_right(sums["type_max"], 32))
    return pa.table(columns).cast(WINDOWS_SCHEMA)


def _held(high: NDArray[np.int64], low: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put the sums of the halves together as `sum_micros` does."""
    carried = high + (low >> 31)
    whole: NDArray[np.int64] = np.clip(carried, -_BEYOND, _BEYOND) * _HALF + (low & (_HALF - 1))
    return np.clip(whole, -MICROS_LIMIT, MICROS_LIMIT)


def stored_windows(sums: pa.Table) -> pa.Table:
    """Turn micros into the doubles that tables store."""
    for name in MEASURES:
        place = sums.schema.get_field_index(name)
        sums = sums.set_column(place, name, pa.array(sums[name].to_numpy() / MICROS))
    return sums


def any_differs(left: list[Column], right: list[Column]) -> Column:
    """Tell whether two lists of columns differ anywhere, null being equal to null."""
    return reduce(Column.__or__, (~a.eqNullSafe(b) for a, b in zip(left, right, strict=True)))
