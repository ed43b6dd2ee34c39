"""One check: what was compared, how much of it differs, and an example of a difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

_COLUMNS_SHOWN = 3


@dataclass(frozen=True)
class Check:
    """What one comparison found; `unchecked` says of what nothing can be said, and why."""

    name: str
    compared: int = 0
    differing: int = 0
    example: str = ""
    unchecked: str = ""

    @property
    def result(self) -> str:
        """In a word or two; what agrees as far as it could be compared, agrees."""
        if self.differing:
            return "DIFFERS"
        return "not checked" if self.unchecked and not self.compared else "agrees"

    def row(self) -> dict[str, object]:
        """As it is shown."""
        told = [self.example] if self.example else []
        told += [f"not checked: {self.unchecked}"] if self.unchecked else []
        return {
            "check": self.name,
            "compared": self.compared,
            "differing": self.differing,
            "result": self.result,
            "detail": "; ".join(told),
        }


def compared(name: str, expected: DataFrame, found: DataFrame, key: Sequence[str], unchecked: str = "") -> Check:
    """Hold rows against each other, as often as each is there; both frames have the same columns.

    One aggregation, no join: rows that are equal meet in a group, and only counts and one example leave Spark.
    """
    columns = expected.columns
    sides = expected.withColumns({"of": F.lit("expected")}).unionByName(found.withColumns({"of": F.lit("found")}))
    both = sides.groupBy(*columns).agg(*(F.count_if(F.col("of") == of).alias(of) for of in ("expected", "found")))
    differs = F.col("expected") != F.col("found")
    row = both.agg(
        F.greatest(F.sum("expected"), F.sum("found")), F.count_distinct(F.when(differs, F.struct(*key)))
    ).collect()[0]
    example = _example(both.where(differs), key) if row[1] else ""
    return Check(name, row[0] or 0, row[1], example, unchecked)


def violations(name: str, rows: DataFrame, wrong: Column, key: Sequence[str], *told: str) -> Check:
    """Count rows that break a rule; the example tells the columns `told` of one of them."""
    row = rows.agg(F.count("*"), F.count_if(wrong)).collect()[0]
    example = ""
    if row[1]:
        first = rows.where(wrong).orderBy(*key).select(*key, *told).head()
        assert first is not None
        example = f"{_named(first, key)}: {_named(first, told)}"
    return Check(name, row[0], row[1], example)


def comparable_map(column: str) -> Column:
    """The entries of a map in the order of their keys: Spark compares no maps."""
    return F.array_sort(F.map_entries(column))


def _example(differing: DataFrame, key: Sequence[str]) -> str:
    """The first key that differs, with both values of a few columns."""
    first, *others = differing.orderBy(*key, F.desc("expected")).limit(2).collect()
    named = _named(first, key)
    both = [first, *(other for other in others if all(other[name] == first[name] for name in key))]
    if len(both) == 2 and both[0]["expected"] and both[1]["found"]:
        return f"{named}: {_changes(both[0], both[1], set(key))}"
    if first["expected"] and first["found"]:
        return f"{named}: expected {first['expected']} times, found {first['found']} times"
    return f"{named}: {'missing' if first['expected'] else 'not expected'}"


def _changes(expected: Row, found: Row, key: set[str]) -> str:
    names = [name for name in expected.asDict() if name not in key | {"expected", "found"}]
    unequal = [name for name in names if expected[name] != found[name]]
    told = (f"{name} expected {_plain(expected[name])}, found {_plain(found[name])}" for name in unequal)
    more = f" and {len(unequal) - _COLUMNS_SHOWN} columns more" if len(unequal) > _COLUMNS_SHOWN else ""
    return ", ".join(list(told)[:_COLUMNS_SHOWN]) + more


def _named(row: Row, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {_plain(row[name])}" for name in names)


def _plain(entry: Any) -> str:
    if isinstance(entry, datetime):
        return f"{entry.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    if isinstance(entry, list) and entry and isinstance(entry[0], Row):  # the entries of a map
        return ", ".join(f"{key} {lines}" for key, lines in entry)
    if isinstance(entry, Mapping):
        return ", ".join(f"{key} {lines}" for key, lines in sorted(entry.items()))
    return "nothing" if entry is None or entry == [] else str(entry)
