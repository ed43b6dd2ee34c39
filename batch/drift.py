"""Drift: how far the newest days lie from those that the champion has learned from."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from batch.judgement import unseen_from
from batch.train import TEST_RPS_FACT
from batch.train_data import labelled_rows, learned_horizons, without_rows
from serverload.advance.outcomes import newest_outcomes
from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import FEATURE_SETS, NULLABLE_FEATURES
from serverload.contracts.instants import from_micros
from serverload.contracts.progress import Progress
from serverload.contracts.settings import Settings
from serverload.contracts.watch_settings import WatchSettings
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import RegisteredModel

LABEL = "label"
_BINS = 10
_QUANTILE_ERROR = 0.005
_REFERENCE_ROWS = 500_000
"""The days learned from are sampled to about as many rows: the shares of ten bins need no more."""

_LOOKBACK = timedelta(days=28)
"""Of the first days of a history features know only a part: they are left out where enough is there besides."""

_SHIFTING = 0.1


@dataclass(frozen=True)
class Compared:
    """One thing then and now: its measure (PSI, RPS or days), the bound, and whether it is above that.

    `then` and `now`: the share of rows in which a feature is known, the RPS, the ends of the history.
    """

    what: str
    measure: str
    number: float
    bound: float
    then: str
    now: str

    @property
    def drifted(self) -> bool:
        """Whether the bound is passed."""
        return self.number > self.bound


@dataclass(frozen=True)
class Drift:
    """What was compared, and the days of it: targets in `start .. end` beside those before `learned_until`."""

    version: str
    learned_until: datetime
    start: datetime
    end: datetime
    compared: tuple[Compared, ...]

    def reasons(self) -> str:
        """What has drifted, as one line, the farthest three; empty where nothing has."""
        gone = sorted((each for each in self.compared if each.drifted), key=lambda each: -each.number / each.bound)
        told = [f"{each.measure} of {each.what} {each.number:.3g}, at most {each.bound:g}" for each in gone[:3]]
        return "; ".join(told) + (f"; {len(gone) - 3} more" if len(gone) > 3 else "")

    def table(self) -> list[dict[str, object]]:
        """A plain row for each thing compared, those that lie farthest first."""
        rows = sorted(self.compared, key=lambda each: -each.number / each.bound)
        return [
            {
                "what": each.what,
                "measure": each.measure,
                "then": each.then,
                "now": each.now,
                "number": round(each.number, 4),
                "bound": each.bound,
                "verdict": _verdict(each),
            }
            for each in rows
        ]


def measured_drift(tables: DeltaTables, settings: Settings, champion: RegisteredModel, progress: Progress) -> Drift:
    """Hold the newest days of `features` and of matured forecasts against what the champion knows.

    `features` must be up to date. Raises InputError where it has no rows, ModelError for a version without facts.
    """
    progress.step("compare the newest days with those learned from")
    horizon = max(champion.only_horizons or learned_horizons(settings.model))
    rows = labelled_rows(tables.read("features"), [horizon])
    newest = rows.agg(sf.unix_micros(sf.max("target_hour"))).collect()[0][0]
    if newest is None:
        raise without_rows([horizon])
    watch, learned_until = settings.watch, unseen_from(champion)
    end = from_micros(newest) + timedelta(hours=1)
    start = end - timedelta(days=watch.recent_days)
    target = sf.col("target_hour")
    learned = rows.where((target < sf.lit(learned_until)) & (target < sf.lit(start)))
    if begun := champion.facts.get("first_target"):
        whole = datetime.fromisoformat(begun) + _LOOKBACK
        first = whole if whole + timedelta(days=watch.recent_days) <= learned_until else whole - _LOOKBACK
        learned = learned.where(target >= sf.lit(first))
    inputs = _input_drift(learned, rows.where(target >= sf.lit(start)), _inputs(champion), watch.max_psi)
    age = Compared(
        "the champion's history", "age in days", (end - learned_until) / timedelta(days=1), watch.max_age_days,
        f"{learned_until:%Y-%m-%d}", f"{end:%Y-%m-%d}",
    )  # fmt: skip
    quality = _quality_drift(tables, champion, start, watch)
    return Drift(champion.version, learned_until, start, end, (*inputs, *quality, age))


def stability_index(then: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """Population stability index of two counts over the same bins; half a row is added to each, so none is empty."""
    shares = [(counts + 0.5) / (counts + 0.5).sum() for counts in (then, now)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _inputs(champion: RegisteredModel) -> list[str]:
    """The champion's inputs that tell of load; where in the calendar an hour lies always moves."""
    known = FEATURE_SETS[champion.facts.get("feature_set", "full")]
    return [feature.name for feature in NULLABLE_FEATURES if feature.name in known]


def _input_drift(then: DataFrame, now: DataFrame, names: Sequence[str], bound: float) -> Iterator[Compared]:
    """PSI of each input and of the label: by tenths of what was learned from, and a bin of those not known.

    That bin counts only where less is known than then: a history begins with hours before which nothing is known.
    Nothing is told where the home has none of the days learned from, as for a model from elsewhere.
    """
    rows = then.count()
    if not rows:
        return
    share = min(1.0, _REFERENCE_ROWS / rows)
    drawn = then.where(sf.pmod(sf.xxhash64("server_ip", "target_hour"), sf.lit(1_000_000)) < int(share * 1_000_000))
    reference = drawn.select(*names, LABEL).persist()
    try:
        tenths = [step / _BINS for step in range(1, _BINS)]
        edges = dict(zip(names, reference.approxQuantile(list(names), tenths, _QUANTILE_ERROR), strict=True))
        counts = [_counts(side, edges) for side in (reference, now)]
    finally:
        reference.unpersist()
    for name in (*names, LABEL):
        before, after = (side[name] for side in counts)
        known = [1 - side[0] / max(1, side.sum()) for side in (before, after)]
        first = 0 if known[1] < known[0] else 1
        psi = stability_index(before[first:], after[first:])
        yield Compared(name, "PSI", psi, bound, *(f"{share:.3f} known" for share in known))


def _counts(rows: DataFrame, edges: Mapping[str, Sequence[float]]) -> dict[str, NDArray[np.int64]]:
    """Rows by input and bin, in one Spark job; bin 0 holds those not known."""
    bins = [_bin(name, sorted(set(of_input))) for name, of_input in edges.items()]
    labels = sf.coalesce(sf.array_position(sf.array(*map(sf.lit, CLASSES)), sf.col(LABEL)), sf.lit(0))
    names = [*edges, LABEL]
    numbered = [
        sf.struct(sf.lit(i).alias("input"), each.cast("int").alias("bin")) for i, each in enumerate([*bins, labels])
    ]
    found = rows.select(sf.explode(sf.array(*numbered)).alias("at")).groupBy("at.input", "at.bin").count().collect()
    counts = {name: np.zeros(_BINS + 1, dtype=np.int64) for name in names}
    for index, place, count in found:
        counts[names[index]][place] = count
    used = {name: len(set(of_input)) + 2 for name, of_input in edges.items()} | {LABEL: len(CLASSES) + 1}
    return {name: counts[name][: used[name]] for name in names}


def _bin(name: str, edges: Sequence[float]) -> Column:
    """1 for what is at or below the first edge, one more for each edge below it; 0 for null."""
    above = "".join(f" + int({name} > {edge!r}D)" for edge in edges)
    return sf.expr(f"if({name} is null, 0, 1{above})")  # as text: thousands of calls into Java otherwise


def _quality_drift(
    tables: DeltaTables, champion: RegisteredModel, start: datetime, watch: WatchSettings
) -> Iterator[Compared]:
    """RPS of the champion's matured forecasts beside its test, at the horizons tested; none where too few matured."""
    tested = {int(h): float(rps) for h, rps in (pair.split(":") for pair in _pairs(champion.facts.get(TEST_RPS_FACT)))}
    outcomes = tables.read("forecast_outcomes").where(
        (sf.col("target_date") >= sf.lit(start.date())) & (sf.col("model_version") == champion.version)
    )
    of_model = sf.coalesce("basis", sf.lit("model")) == "model"
    matured = newest_outcomes(outcomes.where((sf.col("revision") == 0) & of_model)).where("actual_class is not null")
    counted = matured.where(sf.col("horizon_hours").isin(*tested)).groupBy("horizon_hours")
    found = counted.agg(sf.count("*"), sf.sum("rps")).collect()
    rows = sum(count for _horizon, count, _sum in found)
    if rows < watch.least_forecasts:
        return
    expected = sum(tested[horizon] * count for horizon, count, _sum in found) / rows
    reached = math.fsum(total for _horizon, _count, total in found) / rows
    rise = reached / expected - 1 if expected else 0.0
    yield Compared("matured forecasts", "rise in RPS", rise, watch.max_rps_rise, f"{expected:.4f}", f"{reached:.4f}")


def _pairs(text: str | None) -> list[str]:
    return text.split(",") if text else []


def _verdict(each: Compared) -> str:
    if each.drifted:
        return "DRIFTED"
    return "shifting" if each.measure == "PSI" and each.number > _SHIFTING else "ok"
