"""Prediction sets that follow what comes: thresholds from how a version's own forecasts have fared of late."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.advance.outcomes import newest_outcomes
from serverload.contracts.instants import hour_start
from serverload.model.decision import Decision
from serverload.model.forecasting import set_cells
from serverload.model.prediction_sets import RECENT_DAYS, Thresholds, drawn_below, thresholds_by_group
from serverload.steps.servers import server_groups
from serverload.store.delta_tables import DeltaTables


class AdaptiveSets:
    """The decision of a model version with the thresholds of the day, worked out once a day and version."""

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables
        self._of: tuple[str, date] | None = None
        self._thresholds: Mapping[str, Thresholds] = {}

    def decision(self, version: str, decision: Decision, origin: int) -> Decision:
        """The decision to issue an origin's forecasts with: of the outcomes before the origin's UTC day, no later one.

        A group of servers with too few outcomes, and a version that is new, keep the thresholds of the training.
        """
        if not decision.thresholds:
            return decision
        day = hour_start(origin).date()
        if self._of != (version, day):
            cells = set_cells(_recent_outcomes(self._tables, version, day), F.col("actual_class"))
            self._thresholds = thresholds_by_group(cells, decision.coverage, decision.thresholds)
            self._of = (version, day)
        return replace(decision, thresholds=self._thresholds)


def _recent_outcomes(tables: DeltaTables, version: str, day: date) -> DataFrame:
    """`server_group`, `actual_class` and `given` of the newest outcomes for targets of the days before a day."""
    of_days = F.col("target_date").between(F.lit(day - timedelta(days=RECENT_DAYS)), F.lit(day - timedelta(days=1)))
    rows = tables.read("forecast_outcomes").where(of_days)
    key = F.concat_ws(
        "/", "server_ip", F.unix_seconds("issued_hour").cast("string"), F.col("horizon_hours").cast("string")
    )
    drawn = F.md5(key) < drawn_below(rows.count())
    known = (F.col("model_version") == version) & F.col("probability_of_actual").isNotNull()
    newest = newest_outcomes(rows.where(drawn & known))
    return newest.join(F.broadcast(server_groups(tables.read("servers"))), "server_ip", "left").select(
        F.coalesce("server_group", F.lit("")).alias("server_group"),
        "actual_class",
        F.col("probability_of_actual").alias("given"),
    )
