"""Window sums are the same by Spark and by Arrow, up to the limit at which they are held."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from serverload.contracts.classes import MICROS_LIMIT
from serverload.contracts.lines import MEASURES
from serverload.steps.window_rows import WINDOWS_SCHEMA
from serverload.steps.windows import add_partials, stored_windows, window_sums

START = datetime(2016, 3, 1, tzinfo=UTC)


def drawn_partials(rows: int) -> pa.Table:
    """Partial sums of few windows, so that they meet; measures that a double holds exactly, some at the limit."""
    rng = np.random.default_rng(7)
    start = [START + timedelta(minutes=5 * int(window)) for window in rng.integers(0, 6, rows)]
    offset = [timedelta(microseconds=int(after)) for after in rng.integers(0, 300_000_000, rows)]
    kinds = [None if kind > 3 else int(kind) - 2 for kind in rng.integers(0, 6, rows)]
    small = rng.integers(-(10**9), 10**9, (rows, len(MEASURES)))
    held = np.where(np.arange(len(MEASURES)) % 2, MICROS_LIMIT, -MICROS_LIMIT)
    micros = np.where(rng.random((rows, len(MEASURES))) < 0.05, held, small)
    columns = {
        "server_ip": [f"10.0.0.{server}" for server in rng.integers(1, 4, rows)],
        "window_start": start,
        "sessions": rng.integers(1, 9, rows),
        **{name: micros[:, place] for place, name in enumerate(MEASURES)},
        "last_event": [begin + after for begin, after in zip(start, offset, strict=True)],
        "server_type": kinds,
        "server_type_at": [
            None if kind is None else begin + after for kind, begin, after in zip(kinds, start, offset, strict=True)
        ],
    }
    return pa.table(columns, schema=WINDOWS_SCHEMA)


def sorted_rows(table: pa.Table) -> list[dict[str, object]]:
    in_order = table.select(WINDOWS_SCHEMA.names).cast(WINDOWS_SCHEMA)
    return in_order.sort_by([("server_ip", "ascending"), ("window_start", "ascending")]).to_pylist()


def test_spark_and_arrow_add_up_to_the_same(spark: SparkSession) -> None:
    partials = drawn_partials(400)
    by_arrow = add_partials([partials])
    by_spark = window_sums(spark.createDataFrame(stored_windows(partials))).toArrow()

    assert by_arrow.num_rows == 18
    assert -MICROS_LIMIT in by_arrow[MEASURES[0]].to_pylist()
    assert MICROS_LIMIT in by_arrow[MEASURES[1]].to_pylist()
    assert sorted_rows(by_spark) == sorted_rows(by_arrow)
