"""Advice for the hours to come: servers to merge, servers that need more, and when each is best worked on."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from serverload.contracts.classes import CLASSES, MICROS
from serverload.contracts.instants import hour_start
from serverload.contracts.plan_settings import PLAN_HOURS, PlanSettings
from serverload.planning.merging import Merged, first_fit_by_group, fullest_first
from serverload.planning.outlook import Floats, Outlook, expected_loads, load_levels

_LOW, _HIGH = 0, len(CLASSES) - 1


class Kind(StrEnum):
    """What is advised."""

    MERGE = "merge"
    ADD = "add"
    MAINTAIN = "maintain"


@dataclass(frozen=True)
class Advice:
    """One piece of advice about hours `first .. last` (0: the first hour to come) of a server.

    `others`: of a merge, the servers that go onto it. `load`: in the busiest of the hours (merge, add), or the mean of
    the hours (maintain). `confidence`: that it holds, at least. Indices are those of the outlook.
    """

    kind: Kind
    server: int
    others: tuple[int, ...]
    first: int
    last: int
    load: float
    confidence: float
    reason: str


def advised(outlook: Outlook, rules: PlanSettings, first_hour: int) -> list[Advice]:
    """All advice: merges, the most servers first, then who needs more, the surest first, then windows by server.

    `first_hour`: number of the first hour to come.
    """
    loads = expected_loads(outlook)
    merges = _merges(outlook, loads, rules, first_hour)
    adds = _adds(outlook, loads, rules, first_hour)
    return [*merges, *adds, *_windows(outlook, loads, rules.maintenance_hours)]


def _merges(outlook: Outlook, loads: Floats, rules: PlanSettings, first_hour: int) -> list[Advice]:
    low = (outlook.said == _LOW).all(axis=1)
    order = [server for server in fullest_first(loads.max(axis=1, initial=0.0), outlook.servers) if low[server]]
    limit = np.rint(outlook.medium_max * MICROS)
    merged = first_fit_by_group(order, outlook.groups, load_levels(outlook), outlook.high, limit, rules.max_risk)
    made = [_merge(each, outlook, loads, first_hour) for each in merged]
    return sorted(made, key=lambda advice: (-len(advice.others), outlook.servers[advice.server]))


def _merge(merged: Merged, outlook: Outlook, loads: Floats, first_hour: int) -> Advice:
    members = list(merged.members)
    together, alone = loads[members].sum(axis=0), outlook.high[members].sum()
    busiest = int(together.argmax())
    reason = (
        f"{len(members)} servers, each low in the next {PLAN_HOURS} hours; together about {together[busiest]:.0f} in "
        f"their busiest hour ({_told(first_hour + busiest)}), and high is above {outlook.medium_max:g}; the risk that "
        f"any hour is high is {merged.risk:.2%} at most, {alone:.2%} that one of them is high by itself"
    )
    host, *others = merged.members
    load = float(together[busiest])
    return Advice(Kind.MERGE, host, tuple(others), 0, PLAN_HOURS - 1, load, 1.0 - merged.risk, reason)


def _adds(outlook: Outlook, loads: Floats, rules: PlanSettings, first_hour: int) -> list[Advice]:
    surest = outlook.high.max(axis=1, initial=0.0)
    servers = np.flatnonzero(surest >= rules.min_confidence)
    found = sorted(servers.tolist(), key=lambda server: (-surest[server], outlook.servers[server]))
    return [_add(outlook, loads, server, first_hour) for server in found]


def _add(outlook: Outlook, loads: Floats, server: int, first_hour: int) -> Advice:
    high, busiest = outlook.high[server], int(loads[server].argmax())
    at, load = int(high.argmax()), float(loads[server, busiest])
    times = f"{load / outlook.medium_max:.2f} times the {outlook.medium_max:g} above which it is high"
    reason = (
        f"high is expected in {high.sum():.1f} of the next {PLAN_HOURS} hours, and has {high[at]:.0%} at "
        f"{_told(first_hour + at)}; "
        f"about {load:.0f} in its busiest hour ({_told(first_hour + busiest)}), {times}"
    )
    return Advice(Kind.ADD, server, (), 0, PLAN_HOURS - 1, load, float(high[at]), reason)


def _windows(outlook: Outlook, loads: Floats, length: int) -> Iterator[Advice]:
    """For each server the hours in a row with the lowest mean load, the earliest of equals."""
    if not outlook.servers:
        return
    begins = window_means(loads, length).argmin(axis=1)
    for server, first in enumerate(begins.tolist()):
        hours = slice(first, first + length)
        highest = promised_class(outlook, server, first, first + length - 1)
        above = min(1.0, float(outlook.probabilities[server, hours, highest + 1 :].sum()))
        mean, usual = float(loads[server, hours].mean()), float(loads[server].mean())
        risk = f"the risk of an hour above {CLASSES[highest]} is {above:.2%} at most"
        reason = (
            f"the quietest {length} of the next {PLAN_HOURS} hours: about {mean:.0f}, on the whole {usual:.0f}; "
            f"{risk if highest < _HIGH else 'even these are high'}"
        )
        yield Advice(Kind.MAINTAIN, server, (), first, first + length - 1, mean, 1.0 - above, reason)


def window_means(loads: Floats, length: int) -> Floats:
    """Mean load of `length` hours in a row, from each hour on that has so many; shape (servers, hours - length + 1)."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(loads, length, axis=1).mean(axis=-1))


def promised_class(outlook: Outlook, server: int, first: int, last: int) -> int:
    """The class (its index) that no hour of a maintenance window is to exceed: the highest that is forecast there."""
    return int(outlook.said[server, first : last + 1].max())


def _told(hour: int) -> str:
    return f"{hour_start(hour):%Y-%m-%d %H:%M}Z"
