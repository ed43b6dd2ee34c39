"""The servers: since when each is known, its newest event and its type."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.contracts.tables import TABLES
from serverload.steps.peaks import hour_of
from serverload.steps.windows import newest_type


def known_servers(windows: DataFrame, known: DataFrame) -> DataFrame:
    """Fold rows of `load_windows` into the servers known before: earliest hour, newest event, newest type.

    Lowest and highest values only, so the order of folding and folding twice make no difference.
    """
    names = TABLES["servers"].column_names
    seen = windows.groupBy("server_ip").agg(
        F.min(hour_of("window_start")).alias("first_hour"), F.max("last_event").alias("last_event"), *newest_type()
    )
    both = seen.select(*names).unionByName(known.select(*names))
    return both.groupBy("server_ip").agg(
        F.min("first_hour").alias("first_hour"), F.max("last_event").alias("last_event"), *newest_type()
    )


def server_groups(servers: DataFrame) -> DataFrame:
    """The group that each server's quality and prediction sets are kept by: its type as text, empty where unknown."""
    group = F.coalesce(F.col("server_type").cast("string"), F.lit(""))
    return servers.select("server_ip", group.alias("server_group"))
