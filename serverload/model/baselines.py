"""What any model has to beat: five naive forecasts, each with a class and fair probabilities for every row."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import SAME_HOUR_WEEKS
from serverload.model.forecasting import PROBABILITIES, most_probable_class
from serverload.steps.feature_frames import workload_class_column

MAJORITY = "majority"
PERSISTENCE = "persistence"
LAST_WEEK = "same hour last week"
FOUR_WEEKS = "median of 4 weeks"
CLIMATOLOGY = "climatology"
BASELINES: tuple[str, ...] = (MAJORITY, PERSISTENCE, LAST_WEEK, FOUR_WEEKS, CLIMATOLOGY)

_HOUR = ("server_ip", "hour_of_week")
_SAID = ("model", "horizon_hours", "workload_class")
_PRIOR_HOURS = 2.0
"""How many hours the wider group (server, then fleet) counts for in a smoothed frequency."""


@dataclass(frozen=True)
class Climate:
    """Smoothed class frequencies of training rows, as arrays in the order of CLASSES.

    `by_hour`: `climatology` per server and hour of the week; `by_server`: per server; `overall`: of the fleet.
    """

    by_hour: DataFrame
    by_server: DataFrame
    overall: tuple[float, ...]
    low_max: float
    medium_max: float


@dataclass(frozen=True)
class Baselines:
    """The naive forecasts, fitted on training rows: what they say, and how often each class came when they said one."""

    climate: Climate
    reliability: DataFrame

    def forecasts(self, features: DataFrame) -> DataFrame:
        """Each row of `features` once per baseline, with `model`, `workload_class` and the three probabilities.

        Where a baseline's load is unknown it answers as climatology does, that as the server's or the fleet's
        frequencies do: every row is answered by every baseline, also of a server never seen.
        """
        known = _said(features, self.climate).join(sf.broadcast(self.reliability), list(_SAID), "left")
        fleet = _frequencies(self.climate.overall)
        chances = (
            sf.when(sf.col("model") == MAJORITY, fleet)
            .when(sf.col("model") == CLIMATOLOGY, sf.col("climatology"))
            .otherwise(sf.coalesce("came", fleet))
        )
        probabilities = [sf.col("chances")[index].alias(name) for index, name in enumerate(PROBABILITIES)]
        return known.withColumn("chances", chances).select(*features.columns, "model", "workload_class", *probabilities)

    def release(self) -> None:
        """Free what fitting has cached; the forecasts can still be made, only slower."""
        for frame in (self.climate.by_hour, self.climate.by_server, self.reliability):
            frame.unpersist()


def fit_baselines(training: DataFrame, *, low_max: float, medium_max: float) -> Baselines:
    """Fit the baselines on labelled rows of `features` (one at least); thresholds as for the labels."""
    shortest = training.agg(sf.min("horizon_hours")).collect()[0][0]
    # the shortest horizon has every target that a longer one has, each once
    targets = training.where(sf.col("horizon_hours") == shortest).withColumn("hour_of_week", _hour_of_week())
    counted = targets.agg(*(_count_of(name) for name in CLASSES)).collect()[0]
    overall = tuple(count / sum(counted) for count in counted)
    by_server = _smoothed(targets, ("server_ip",), _frequencies(overall), "by_server").persist()
    by_hour = _smoothed(targets.join(by_server, "server_ip"), _HOUR, sf.first("by_server"), "climatology").persist()
    climate = Climate(by_hour, by_server, overall, low_max, medium_max)
    # a bare class becomes a fair probability by how often each class came after it, horizon by horizon
    came = _smoothed(_said(training, climate), _SAID, _frequencies(overall), "came").persist()
    return Baselines(climate, came)


def _said(features: DataFrame, climate: Climate) -> DataFrame:
    """Each row once per baseline with `model`, the `workload_class` said, and the climatology's frequencies."""
    keyed = features.withColumn("hour_of_week", _hour_of_week())
    known = keyed.join(climate.by_hour, list(_HOUR), "left").join(climate.by_server, "server_ip", "left")
    chances = sf.coalesce("climatology", "by_server", _frequencies(climate.overall))
    usual = most_probable_class(*(sf.col("climatology")[index] for index in range(len(CLASSES))))
    loads = {
        PERSISTENCE: sf.col("peak_load_origin_lag_0h"),
        LAST_WEEK: sf.col("same_hour_1w"),
        FOUR_WEEKS: _median([f"same_hour_{week}w" for week in SAME_HOUR_WEEKS]),
    }
    thresholds = {"low_max": climate.low_max, "medium_max": climate.medium_max}
    said = {
        MAJORITY: sf.lit(CLASSES[climate.overall.index(max(climate.overall))]),
        CLIMATOLOGY: usual,
        **{name: sf.coalesce(workload_class_column(load, **thresholds), usual) for name, load in loads.items()},
    }
    answers = [sf.struct(sf.lit(name).alias("model"), said[name].alias("workload_class")) for name in BASELINES]
    answered = known.withColumn("climatology", chances).withColumn("answer", sf.explode(sf.array(*answers)))
    return answered.select(*features.columns, "climatology", "answer.model", "answer.workload_class")


def _smoothed(rows: DataFrame, group: Sequence[str], prior: Column, name: str) -> DataFrame:
    """Frequencies of the labels in each group, as an array `name`, drawn to the prior as if by _PRIOR_HOURS rows."""
    counts = rows.groupBy(*group).agg(*(_count_of(name) for name in CLASSES), prior.alias("prior"))
    total = sum((sf.col(name) for name in CLASSES), start=sf.lit(_PRIOR_HOURS))
    chances = [(sf.col(name) + _PRIOR_HOURS * sf.col("prior")[index]) / total for index, name in enumerate(CLASSES)]
    return counts.select(*group, sf.array(*chances).alias(name))


def _count_of(label: str) -> Column:
    return sf.count_if(sf.col("label") == label).alias(label)


def _frequencies(frequencies: Sequence[float]) -> Column:
    return sf.array(*(sf.lit(frequency) for frequency in frequencies))


def _hour_of_week() -> Column:
    return (sf.col("iso_day_of_week") - 1) * 24 + sf.col("hour_of_day")


def _median(columns: Sequence[str]) -> Column:
    """Median of the known ones of a few columns, the mean of the middle two for an even number; null without any."""
    ordered = sf.array_sort(sf.array_compact(sf.array(*columns)))
    count = sf.size(ordered)
    middle = (sf.get(ordered, ((count - 1) / 2).cast("int")) + sf.get(ordered, (count / 2).cast("int"))) / 2
    return sf.when(count > 0, middle)
