"""Scores what a request holds, with the very functions that the stream's forecasts are made by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.feature_columns import FEATURES, NULLABLE_FEATURES, PEAKS
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.settings import Settings
from serverload.model.decision import Decision
from serverload.model.flat_forecasts import MODEL, PROBABILITIES, OwnHistory, flat_forecasts
from serverload.model.reasons import leading_reasons, reasons
from serverload.steps.features import fleet_feature_rows, forecast_pairs, lookback_hours
from serverload.steps.hours import FleetHours, ServerHours, server_hours
from serverload.steps.own_climatology import own_climatology
from serving.champion import ServedModel
from serving.parameters import LAST_YEAR
from serving.problems import bad_field
from serving.score_request import ScoreRequest

DecisionOf = Callable[[ServedModel, date], Decision]
"""The decision of a version for the forecasts that are issued on a UTC day."""

MOST_EXPLAINED = 10_000
"""So many forecasts at most come with reasons: each has one for every feature until the leading ones are known."""

_LAST_HOUR = hour_number(datetime(LAST_YEAR, 1, 1, tzinfo=UTC)) - 1
_HOUR = pl.duration(hours=1)


@dataclass(frozen=True)
class Rules:
    """How forecasts are issued, as the settings say; see `advance.forecasts.IssueRules`."""

    horizons: tuple[int, ...]
    retire_after_hours: int
    min_known_hours: int
    low_max: float
    medium_max: float
    most_rows: int

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """The rules that the settings make."""
        return cls(
            settings.forecast.horizons,
            settings.time.retire_after_hours,
            settings.forecast.min_known_hours,
            settings.classes.low_max,
            settings.classes.medium_max,
            settings.serve.max_rows,
        )


@dataclass(frozen=True, eq=False)
class Scored:
    """Forecasts, a row each, and the servers that get none as they have had no sessions for too long."""

    forecasts: pl.DataFrame
    without_forecast: Sequence[str] = ()


def scored(request: ScoreRequest, model: ServedModel, rules: Rules, decision_of: DecisionOf) -> Scored:
    """Score a request. Raises ProblemError for what cannot be scored, naming the field."""
    if request.features is not None:
        return _scored_rows(request, model, rules, decision_of)
    return _scored_histories(request, model, rules, decision_of)


def _scored_histories(request: ScoreRequest, model: ServedModel, rules: Rules, decision_of: DecisionOf) -> Scored:
    histories: list[Any] = list(request.servers or ())
    horizons = _horizons(request, model, rules)
    _check_size(len(histories) * len(horizons), "servers", rules, request.reasons)
    _check_names(histories)
    origin = _origin(request, histories)
    laid = _laid_out(request, histories, origin, horizons, rules)
    due = [(history, hours) for history, hours in laid if hours is not None and hours.awaits_forecast(origin)]
    names = {history.server for history, _ in due}
    gone = [history.server for history, _ in laid if history.server not in names]
    if not due:
        return Scored(pl.DataFrame(), gone)
    targets, ahead = forecast_pairs([origin], horizons)
    servers = [hours for _, hours in due]
    features = fleet_feature_rows(servers, targets, ahead)
    told = flat_forecasts(
        model.forest,
        decision_of(model, hour_start(origin).date()),
        features,
        _of_each([_group(history) for history, _ in due], len(horizons)),
        _own_histories(servers, targets, targets - ahead, rules),
        min_known_hours=rules.min_known_hours,
    )
    keys = features.select(
        pl.Series("server_ip", _of_each([history.server for history, _ in due], len(horizons))),
        (pl.col("target_hour") - _HOUR * pl.col("horizon_hours")).alias("issued_hour"),
        "horizon_hours",
        "target_hour",
    )
    return Scored(_with_reasons(keys, told, features, model, request.reasons), gone)


def _laid_out(
    request: ScoreRequest, histories: Sequence[Any], origin: int, horizons: Sequence[int], rules: Rules
) -> list[tuple[Any, ServerHours | None]]:
    """Each history on the grid that its features look at, as the stream's; hours told as silent are known of none."""
    start = origin + min(horizons) - lookback_hours(max(horizons), rules.retire_after_hours)
    silent = [hour_number(hour) for hour in request.silent_hours]
    fleet = FleetHours.of(np.setdiff1d(np.arange(start, origin + 1), silent))
    return [(each, _laid(each, start, origin, fleet, rules.retire_after_hours)) for each in histories]


def _group(told: Any) -> str:
    return "" if told.server_type is None else str(told.server_type)


def _of_each(texts: Sequence[str], times: int) -> list[str]:
    return [text for text in texts for _ in range(times)]


def _scored_rows(request: ScoreRequest, model: ServedModel, rules: Rules, decision_of: DecisionOf) -> Scored:
    """Rows of features: what they rest on cannot be told, so it is the model."""
    rows: list[Any] = list(request.features or ())
    _check_size(len(rows), "features", rules, request.reasons)
    only = model.only_horizons
    for place, row in enumerate(rows):
        if only is not None and row.horizon_hours not in only:
            raise bad_field("body", f"features/{place}/horizon_hours", _only(model))
    features = _features(rows)
    newest_origin = max(24 * row.trend_days + row.hour_of_day - row.horizon_hours for row in rows)
    decision = decision_of(model, hour_start(min(max(newest_origin, 0), _LAST_HOUR)).date())
    groups = [_group(row) for row in rows]
    told = flat_forecasts(model.forest, decision, features, groups, None, min_known_hours=0)
    servers = pl.Series("server_ip", [row.server for row in rows], dtype=pl.String)
    keys = features.select(servers, "horizon_hours")
    return Scored(_with_reasons(keys, told, features, model, request.reasons))


def _features(rows: Sequence[Any]) -> pl.DataFrame:
    """Rows of features as a frame; flags of missing loads are told by the loads, and what was given has to agree."""
    types = {"INT": pl.Int32, "DOUBLE": pl.Float64, "BOOLEAN": pl.Boolean}
    columns = {each.name: [getattr(row, each.name) for row in rows] for each in FEATURES}
    given = pl.DataFrame(columns, schema={each.name: types[each.type] for each in FEATURES})
    names = [each.name for each in NULLABLE_FEATURES]
    features = given.with_columns(pl.col(name).is_null().alias(f"missing_{name}") for name in names)
    for flag in (f"missing_{name}" for name in names):
        wrong = (given[flag] != features[flag]).fill_null(False).arg_true()
        if len(wrong):
            raise bad_field("body", f"features/{wrong[0]}/{flag}", "does not fit the load that it tells of")
    return features


def _horizons(request: ScoreRequest, model: ServedModel, rules: Rules) -> tuple[int, ...]:
    asked = tuple(sorted(set(request.horizons or rules.horizons)))
    known = tuple(hours for hours in asked if model.only_horizons is None or hours in model.only_horizons)
    if not known or (request.horizons and known != asked):
        raise bad_field("body", "horizons", _only(model))
    return known


def _only(model: ServedModel) -> str:
    return f"version {model.version} forecasts {', '.join(map(str, model.only_horizons or ()))} h ahead alone"


def _check_size(rows: int, name: str, rules: Rules, with_reasons: int) -> None:
    most = min(rules.most_rows, MOST_EXPLAINED) if with_reasons else rules.most_rows
    if rows > most:
        and_reasons = " with reasons" if with_reasons else ""
        raise bad_field(
            "body", name, f"{rows:,} forecasts{and_reasons} are asked for, at most {most:,} are made at once"
        )


def _check_names(histories: Sequence[Any]) -> None:
    seen: set[str] = set()
    for place, history in enumerate(histories):
        if history.server in seen:
            raise bad_field("body", f"servers/{place}/server", "is told twice")
        seen.add(history.server)


def _origin(request: ScoreRequest, histories: Sequence[Any]) -> int:
    newest = max(hour_number(each.first_hour) + len(each.peak_load) - 1 for each in histories)
    if request.origin is None:
        return newest
    if hour_number(request.origin) > newest:
        raise bad_field("body", "origin", f"is after the newest hour told, {hour_start(newest):%Y-%m-%dT%H:%M}Z")
    return hour_number(request.origin)


def _laid(history: Any, start: int, origin: int, fleet: FleetHours, retire_after_hours: int) -> ServerHours | None:
    """A history on the grid that the features look at; None where it has no sessions up to the origin."""
    first = hour_number(history.first_hour)
    skipped = max(0, start - first)
    kept = slice(skipped, max(skipped, origin + 1 - first))
    loads = np.array(history.peak_load[kept], dtype=np.float64)
    observed = np.flatnonzero(~np.isnan(loads))
    if not observed.size:
        return None
    rows = [history.peak_load, *(getattr(history, name) for name in PEAKS[1:])]
    peaks = [np.full(loads.size, np.nan) if row is None else np.array(row[kept], dtype=np.float64) for row in rows]
    return server_hours(
        first + skipped + observed,
        np.vstack(peaks)[:, observed],
        first_hour=first,
        grid_start=max(start, first),
        last_hour=origin,
        fleet=fleet,
        retire_after_hours=retire_after_hours,
    )


def _own_histories(
    servers: Sequence[ServerHours], targets: NDArray[np.int64], origins: NDArray[np.int64], rules: Rules
) -> OwnHistory:
    parts = [
        own_climatology(server, targets, origins, low_max=rules.low_max, medium_max=rules.medium_max)
        for server in servers
    ]
    return OwnHistory(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _with_reasons(
    keys: pl.DataFrame, told: pl.DataFrame, features: pl.DataFrame, model: ServedModel, top: int
) -> pl.DataFrame:
    """The forecasts, and beside each what made up the probability of its class; null where it is not the model's."""
    rows = pl.concat([keys, told.select("workload_class", *PROBABILITIES, "basis", "prediction_set")], how="horizontal")
    if not top:
        return rows
    of_model = told["basis"] == MODEL
    places = pl.Series("place", np.flatnonzero(of_model.to_numpy()))
    said = told.filter(of_model)["workload_class"]
    leading = leading_reasons(reasons(model.forest, features.filter(of_model)), said, top)
    lists = leading.group_by("row", maintain_order=True).agg(
        pl.struct("feature", "value", "contribution").alias("reasons")
    )
    placed = lists.select(places.gather(lists["row"]).cast(pl.Int64).alias("place"), "reasons")
    numbered = rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("place"))
    return numbered.join(placed, on="place", how="left", maintain_order="left").drop("place")
