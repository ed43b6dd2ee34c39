"""What was wrong when a stream ended, as `stream_log` has it: the next one tells when it is over."""

from pyspark.sql import functions as F

from serverload.contracts.tables import TROUBLE_EVENTS
from serverload.store.delta_tables import DeltaTables


def standing_troubles(tables: DeltaTables) -> set[str]:
    """The events of trouble that nothing has ended: of each thing the newest event, where it is one of these."""
    about = F.split_part("event", F.lit("_"), F.lit(1))
    rows = tables.read("stream_log").where(F.col("event") != "offsets_lost")
    newest = rows.groupBy(about).agg(F.max_by("event", "event_at"))
    return {event for _about, event in newest.collect()} & set(TROUBLE_EVENTS)
