"""Models that forecast beside the champion, and how the champion's matured forecasts compare with theirs."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.advance.forecasts import IssueRules, ScoringModel, scored_forecasts
from serverload.advance.outcomes import FORECAST_KEY, newest_outcomes
from serverload.contracts.instants import hour_start
from serverload.model.evaluation import ScoreCells, score_cells
from serverload.model.forecasting import PROBABILITIES
from serverload.store.delta_tables import DeltaTables

_ORIGIN_KEY = FORECAST_KEY[:3]


def issue_shadows(
    tables: DeltaTables, models: Sequence[ScoringModel], origins: Sequence[int], rules: IssueRules
) -> None:
    """Append what each model says at the origins, in one commit; by its own decision, as trained.

    Called once the origins have been issued, and never for the same again: where a job dies in between, they are left
    out of the shadows, of which nothing depends.
    """
    hours, servers = tables.read("hourly_load"), tables.read("servers")
    said = [scored_forecasts(hours, servers, model, model.decision, origins, rules) for model in models]
    tables.append("shadow_forecasts", reduce(DataFrame.unionByName, said))


def paired_cells(tables: DeltaTables, champion: str, shadow: str, since: int) -> ScoreCells:
    """Counts and losses of two versions, named by these, on the same matured forecasts issued from hour `since` on.

    The first issue of each is compared: a shadow is not revised. Forecasts that rest on no model, or for which one of
    the two said nothing, are left out.
    """
    start = hour_start(since)
    days = F.col("target_date") >= F.lit(start.date())
    first = days & (F.col("revision") == 0) & (F.col("issued_hour") >= F.lit(start))
    said = {
        version: tables.read(name).where(first & (F.col("model_version") == version) & (F.col("basis") == "model"))
        for name, version in (("forecasts", champion), ("shadow_forecasts", shadow))
    }
    came = newest_outcomes(tables.read("forecast_outcomes").where(first)).where("actual_class is not null")
    labels = came.select(*_ORIGIN_KEY, "target_hour", F.col("actual_class").alias("label"))
    for forecasts in said.values():
        labels = labels.join(forecasts.select(*_ORIGIN_KEY), _ORIGIN_KEY, "left_semi")
    both = labels.withColumn("idle", F.lit(False)).persist()
    try:
        columns = [*_ORIGIN_KEY, "workload_class", *PROBABILITIES]
        sides = [
            both.join(forecasts.select(*columns), _ORIGIN_KEY).withColumn("model", F.lit(version))
            for version, forecasts in said.items()
        ]
        return score_cells(reduce(DataFrame.unionByName, sides))
    finally:
        both.unpersist()


def first_issued_hour(tables: DeltaTables, version: str, since: int) -> int | None:
    """The first hour that a version issued after any other did, from hour `since` on; None where there is none."""
    start = hour_start(since)
    issued = (
        tables.read("forecasts")
        .where((F.col("target_date") >= F.lit(start.date())) & (F.col("issued_hour") >= F.lit(start)))
        .groupBy("model_version", F.unix_seconds("issued_hour").alias("issued"))
        .agg(F.lit(True))
        .collect()
    )
    others = max((row["issued"] for row in issued if row["model_version"] != version), default=-1)
    own = [row["issued"] for row in issued if row["model_version"] == version and row["issued"] > others]
    return min(own) // 3600 if own else None
