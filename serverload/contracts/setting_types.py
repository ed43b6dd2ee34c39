"""How single settings are written as text, and what they become."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode

from serverload.contracts.classes import CLASSES
from serverload.contracts.instants import parse_utc_time

SECRET_NAMES = "(?i)secret|password|token|(access|account)[.]?key|keystore[.]key|sasl.jaas.config|connection.?string"
"""Regular expression of names, as Spark's settings and options have them, whose values are never shown."""


class Section(BaseModel):
    """A section of the settings: frozen, without unknown keys, and errors that never quote what was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def parse_horizons(text: str) -> tuple[int, ...]:
    """Read `1-48` or `1,3,6` as ascending hours from 1 to 168. Raises ValueError."""
    hours: set[int] = set()
    for part in str(text).split(","):
        first, _, last = part.strip().partition("-")
        hours.update(range(int(first), int(last or first) + 1))
    if not hours or min(hours) < 1 or max(hours) > 168:
        raise ValueError("expected hours from 1 to 168, such as 1-48 or 1,3,6")
    return tuple(sorted(hours))


def _time_or_none(raw: object) -> object:
    return parse_utc_time(raw) if isinstance(raw, str) and raw.strip() else (raw or None)


def _pattern_or_none(raw: object) -> object:
    if isinstance(raw, str) and raw:
        try:
            re.compile(raw)
        except re.error as error:
            raise ValueError(f"expected a regular expression ({error})") from error
    return raw or None


def _horizons(raw: object) -> object:
    return parse_horizons(str(raw)) if isinstance(raw, str | int) else raw


def _names(raw: object) -> object:
    return frozenset(name.strip() for name in raw.split(",") if name.strip()) if isinstance(raw, str) else raw


def _checked_cost(cost: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    size = len(CLASSES)
    if len(cost) != size or any(len(row) != size for row in cost):
        raise ValueError(f"expected {size} rows of {size} numbers, what came by what is said")
    if any(row[came] != 0 or min(row) < 0 or sorted(row)[1] <= 0 for came, row in enumerate(cost)):
        raise ValueError("expected 0 where what is said came, and more than 0 elsewhere")
    return cost


CostMatrix = Annotated[tuple[tuple[float, ...], ...], AfterValidator(_checked_cost)]
UtcTime = Annotated[datetime | None, BeforeValidator(_time_or_none)]
Horizons = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_horizons)]
Names = Annotated[frozenset[str], NoDecode, BeforeValidator(_names)]
Pattern = Annotated[str | None, BeforeValidator(_pattern_or_none)]
