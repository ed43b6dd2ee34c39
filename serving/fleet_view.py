"""The fleet at a glance: servers x hours, the past as it was and the next hours as forecast, a letter an hour."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from serverload.contracts.classes import CLASSES, WorkloadClass
from serverload.contracts.instants import hour_number
from serverload.model.flat_forecasts import PROBABILITIES
from serverload.steps.hours import HourState
from serverload.steps.labels import class_index
from serverload.store.fleet_hours import LastHours

LETTERS = {"low": "l", "medium": "m", "high": "h"}
STATE_LETTERS = {
    HourState.ABSENT: ".",
    HourState.OBSERVED: "?",
    HourState.IDLE: "i",
    HourState.MISSING: "-",
    HourState.RETIRED: "r",
}
"""Of past hours; observed ones have the letter of the class that came."""
NO_FORECAST = "-"
_HIGH = CLASSES.index(WorkloadClass.HIGH)
_SAID = pl.coalesce(
    pl.when(pl.col("workload_class") == name).then(given) for name, given in zip(CLASSES, PROBABILITIES, strict=True)
)


class FleetView(BaseModel):
    """Servers x hours in columns: entry n of each list is of the n-th server, in the order of their names."""

    first_hour: datetime | None = Field(description="The first past hour; null for a home without hours.")
    past_hours: int = Field(description="So many past hours; those after them are forecast.")
    hours_ahead: int
    issued_hour: datetime | None = Field(description="The newest hour that forecasts were issued after.")
    issued_at: datetime | None = Field(description="When these were written.")
    low_max: float = Field(description="Loads up to this are low.")
    medium_max: float = Field(description="Loads up to this, and not low, are medium; others are high.")
    grouped_by: Literal["type", "file"]
    servers: list[str]
    groups: list[str] = Field(description="Empty: of no group.")
    past: list[str] = Field(
        description="A letter an hour: l, m, h what came; i idle, - missing, r retired, . before its first hour."
    )
    loads: list[list[float | None]] = Field(description="Peak load of each past hour; null where it does not count.")
    coming: list[str] = Field(description="A letter an hour: l, m, h as forecast; - no forecast.")
    said_percent: list[list[int | None]] = Field(description="Percent that the forecast gives its own class.")
    high_percent: list[list[int | None]] = Field(description="Percent that it gives high.")
    high_hours: list[int] = Field(description="Coming hours whose forecast is high.")
    expected_high_hours: list[float] = Field(description="The sum of their probabilities of high.")


def past_letters(known: LastHours, *, low_max: float, medium_max: float) -> list[str]:
    """A text of letters for each server."""
    letters = np.full(known.states.shape, " ", dtype="U1")
    for state, letter in STATE_LETTERS.items():
        letters[known.states == state] = letter
    observed = known.states == HourState.OBSERVED
    of_class = np.array([LETTERS[name] for name in CLASSES])
    classes = class_index(known.loads[observed], low_max=low_max, medium_max=medium_max)
    letters[observed] = of_class[classes]
    return ["".join(row) for row in letters]


def past_loads(known: LastHours) -> list[list[float | None]]:
    """Loads, rounded to a tenth, null where an hour does not count."""
    rounded = np.round(known.loads, 1)
    return [[None if load != load else load for load in row] for row in rounded.tolist()]


def coming_columns(forecasts: pl.DataFrame, servers: Sequence[str], first: int, count: int) -> Mapping[str, list[Any]]:
    """The columns of a FleetView that tell of the hours `first .. first + count - 1` (numbers)."""
    place = {name: number for number, name in enumerate(servers)}
    known = forecasts.filter(pl.col("workload_class").is_not_null() & pl.col("server_ip").is_in(list(place)))
    row = np.array([place[name] for name in known["server_ip"]], dtype=np.int64)
    hour = known["target_hour"].dt.epoch("us").to_numpy() // 3_600_000_000 - first
    letters = np.full((len(servers), count), NO_FORECAST, dtype="U1")
    letters[row, hour] = known["workload_class"].replace_strict(LETTERS, return_dtype=pl.String).to_numpy()
    said, high = np.full((2, len(servers), count), np.nan)
    said[row, hour] = known.select(_SAID).to_series().to_numpy()
    high[row, hour] = known[PROBABILITIES[_HIGH]].to_numpy()
    return {
        "coming": ["".join(each) for each in letters],
        "said_percent": _percents(said),
        "high_percent": _percents(high),
        "high_hours": (letters == LETTERS[WorkloadClass.HIGH]).sum(axis=1).tolist(),
        "expected_high_hours": np.round(np.nansum(high, axis=1), 2).tolist(),
    }


def _percents(chances: NDArray[np.float64]) -> list[list[int | None]]:
    rounded = np.rint(chances * 100)
    return [[None if each != each else int(each) for each in row] for row in rounded.tolist()]


def boundary(issued: datetime | None, closed: int | None) -> int | None:
    """The newest past hour (its number): closed by now, or when forecasts were issued last."""
    hours = [hour for hour in (closed, hour_number(issued) if issued else None) if hour is not None]
    return max(hours, default=None)
