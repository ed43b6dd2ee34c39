"""Issue the forecasts of hours that have closed, and issue again those that late data has changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from serverload.contracts.classes import SAME_PROBABILITY
from serverload.contracts.errors import ModelError
from serverload.contracts.instants import hour_start
from serverload.contracts.settings import Settings
from serverload.model.decision import Decision
from serverload.model.forecasting import forecast_rows
from serverload.steps.feature_frames import fleet_hours, forecast_feature_frame
from serverload.steps.features import lookback_hours
from serverload.steps.servers import server_groups
from serverload.store.delta_tables import DeltaTables

ISSUED_NOTE = "issued_hour"
HOURLY_NOTE = "hourly_load_version"


class ScoringModel(Protocol):
    """A registered model that can be applied."""

    name: str
    version: str

    @property
    def decision(self) -> Decision:
        """What becomes of its probabilities."""

    @property
    def only_horizons(self) -> tuple[int, ...] | None:
        """The horizons (h) that alone it can forecast; None for any."""

    def pipeline(self) -> PipelineModel:
        """The fitted pipeline."""


@dataclass(frozen=True)
class IssueRules:
    """How forecasts are issued: horizons (h), how many closed hours are caught up, when a server retires (h).

    A server of which fewer than `min_known_hours` of the last 168 are known gets no forecast of the model's; classes
    end at `low_max` and `medium_max`.
    """

    horizons: tuple[int, ...]
    catch_up_hours: int
    retire_after_hours: int
    min_known_hours: int
    low_max: float
    medium_max: float

    @classmethod
    def of(cls, settings: Settings) -> "IssueRules":
        """The rules that the settings make."""
        return cls(
            settings.forecast.horizons,
            settings.forecast.catch_up_hours,
            settings.time.retire_after_hours,
            settings.forecast.min_known_hours,
            settings.classes.low_max,
            settings.classes.medium_max,
        )


def due_origins(issued: int | None, closed: int, catch_up_hours: int) -> list[int]:
    """The closed hours to issue, in order: the newest few since the last issued one; at first the newest alone."""
    if issued is None:
        return [closed]
    return list(range(max(issued + 1, closed - catch_up_hours + 1), closed + 1))


def issue_forecasts(
    tables: DeltaTables, model: ScoringModel, decision: Decision, origins: Sequence[int], rules: IssueRules
) -> None:
    """Append the forecasts of all origins in one commit, noting the newest of them and what they are based on."""
    version = tables.version("hourly_load")
    note = {ISSUED_NOTE: max(origins), HOURLY_NOTE: version}
    tables.append("forecasts", _scored(tables, model, decision, origins, rules), note=note)


def issued_hour(tables: DeltaTables) -> int | None:
    """The newest issued hour; None before the first."""
    noted = tables.newest_note("forecasts", ISSUED_NOTE)
    if noted is not None or tables.version("forecasts") < 0:
        return None if noted is None else int(noted)
    newest = tables.read("forecasts").agg(F.max(F.unix_seconds("issued_hour"))).collect()[0][0]
    return None if newest is None else newest // 3600


def revise_forecasts(
    tables: DeltaTables, model: ScoringModel, decision: Decision, origin: int, rules: IssueRules, version: int
) -> None:
    """Append again, one revision higher, the forecasts of the newest issued hour that the tables now say otherwise."""
    scored = _scored(tables, model, decision, [origin], rules).drop("revision")
    issued = _newest_revisions(tables, origin)
    changed = scored.join(issued, ["server_ip", "horizon_hours"], "left").where(
        F.col("issued_revision").isNull()
        | (F.col("basis") != F.coalesce("issued_basis", F.lit("model")))
        | F.expr(f"abs(probability_low - issued_low) > {SAME_PROBABILITY}")
        | F.expr(f"abs(probability_high - issued_high) > {SAME_PROBABILITY}")
        | F.expr(f"abs(probability_medium - issued_medium) > {SAME_PROBABILITY}")
    )
    revised = changed.withColumn("revision", F.coalesce(F.col("issued_revision") + 1, F.lit(0)))
    tables.append("forecasts", revised, note={ISSUED_NOTE: origin, HOURLY_NOTE: version})


def issuing_version(tables: DeltaTables, origin: int) -> str | None:
    """The model version that issued an hour."""
    row = _issued(tables, origin).select("model_version").head()
    return None if row is None else str(row["model_version"])


def _scored(
    tables: DeltaTables, model: ScoringModel, decision: Decision, origins: Sequence[int], rules: IssueRules
) -> DataFrame:
    return scored_forecasts(tables.read("hourly_load"), tables.read("servers"), model, decision, origins, rules)


def scored_forecasts(
    hourly_load: DataFrame,
    servers: DataFrame,
    model: ScoringModel,
    decision: Decision,
    origins: Sequence[int],
    rules: IssueRules,
) -> DataFrame:
    """Rows of `forecasts`, revision 0, of the hours `origins`; no more of `hourly_load` is read than they need.

    Raises ModelError for a model that can forecast none of the horizons.
    """
    only = model.only_horizons
    horizons = tuple(hours for hours in rules.horizons if only is None or hours in only)
    if not horizons:
        what = f"{model.name} version {model.version} forecasts {', '.join(map(str, only or ()))} h ahead alone"
        raise ModelError(what, where="[forecast] horizons", hint="add these, or train with feature_set full")
    start = hour_start(min(origins) - lookback_hours(max(horizons), rules.retire_after_hours))
    hourly = hourly_load.where(
        (F.col("month") >= f"{start:%Y-%m}") & F.col("hour").between(F.lit(start), F.lit(hour_start(max(origins))))
    )
    features = forecast_feature_frame(
        hourly,
        servers,
        fleet_hours(hourly),
        origins=origins,
        horizons=horizons,
        retire_after_hours=rules.retire_after_hours,
        low_max=rules.low_max,
        medium_max=rules.medium_max,
    )
    return forecast_rows(
        features.join(F.broadcast(server_groups(servers)), "server_ip", "left"),
        model.pipeline(),
        decision,
        model_name=model.name,
        model_version=model.version,
        revision=0,
        issued_at=datetime.now(UTC),
        min_known_hours=rules.min_known_hours,
    )


def _issued(tables: DeltaTables, origin: int) -> DataFrame:
    issued = hour_start(origin)
    of_hour = F.col("issued_hour") == F.lit(issued)
    return tables.read("forecasts").where(of_hour & (F.col("target_date") >= F.lit(issued.date())))


def _newest_revisions(tables: DeltaTables, origin: int) -> DataFrame:
    of_revision = F.struct("basis", "probability_low", "probability_medium", "probability_high")
    newest = F.max_by(of_revision, F.col("revision"))
    return (
        _issued(tables, origin)
        .groupBy("server_ip", "horizon_hours")
        .agg(F.max("revision").alias("issued_revision"), newest.alias("issued"))
        .select(
            "server_ip",
            "horizon_hours",
            "issued_revision",
            F.col("issued.basis").alias("issued_basis"),
            *(F.col(f"issued.probability_{name}").alias(f"issued_{name}") for name in ("low", "medium", "high")),
        )
    )
