"""How lines come in, told by the tables without Spark: the newest batches, what befell the stream, what was refused."""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
from duckdb import DuckDBPyConnection

_BATCHES = """
    select source, batch_id, batch_time, committed_at, read, accepted, rejected, skipped, lost_offsets, last_event,
        greatest(0, epoch(committed_at) - epoch(batch_time)) as seconds
    from ingest_log order by committed_at desc limit $most
"""
_EVENTS = "select event_at, event, model_version, detail from stream_log order by event_at desc limit $most"
_REASONS = """
    with refused as (
        select batch_id, committed_at, unnest(map_entries(rejected_by_reason)) as told from ingest_log
    )
    select told.key as reason, sum(told.value)::bigint as lines, max(committed_at) as last_at,
        arg_max(batch_id, committed_at) as last_batch
    from refused where told.value > 0 group by 1 order by lines desc, reason
"""
EXAMPLE_COLUMNS = ("reason", "line", "source", "origin", "rejected_at")


def newest_batches(tables: DuckDBPyConnection, most: int) -> pa.Table:
    """Rows of `ingest_log`, the newest first; `seconds` from the batch's own time to its commit."""
    return tables.sql(_BATCHES, params={"most": most}).to_arrow_table()


def newest_events(tables: DuckDBPyConnection, most: int) -> pa.Table:
    """Rows of `stream_log`, the newest first."""
    return tables.sql(_EVENTS, params={"most": most}).to_arrow_table()


def refused_by_reason(tables: DuckDBPyConnection) -> pl.DataFrame:
    """Refused lines by reason as `ingest_log` counts them, most first, and the newest batch that refused for it."""
    return pl.DataFrame(pl.from_arrow(tables.sql(_REASONS).to_arrow_table()))


def refused_examples(rejects: pads.Dataset | None, batches: Sequence[int], most: int) -> pl.DataFrame:
    """Refused lines of some batches, EXAMPLE_COLUMNS, of each reason the newest `most`; other batches are not read."""
    if rejects is None:
        return pl.DataFrame(schema=dict.fromkeys(EXAMPLE_COLUMNS, pl.String))
    rows = rejects.to_table(list(EXAMPLE_COLUMNS), filter=pads.field("batch_id").isin(list(batches)))
    newest_first = pl.DataFrame(pl.from_arrow(rows)).sort("rejected_at", "origin", descending=[True, False])
    return newest_first.group_by("reason", maintain_order=True).head(most).select(EXAMPLE_COLUMNS)
