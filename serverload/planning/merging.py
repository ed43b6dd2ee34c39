"""Which servers can be merged: packed so that the merged load is high in no hour, but for a risk that is bounded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from serverload.planning.outlook import SHARES, Floats


@dataclass(frozen=True)
class Merged:
    """Servers (their indices) that go onto the first of them, and the most that the risk of any high hour can be."""

    members: tuple[int, ...]
    risk: float


def merge_risks(levels: Floats, high: Floats, limit: float) -> Floats:
    """At most so likely is any of the hours high, for each of some groups.

    `levels`: sums of the members' `load_levels`, shape (groups, hours, levels); `high`: sums of their probabilities of
    high, (groups, hours); `limit` in micros. No more is assumed than that loads which are not high are at their worst
    together; high hours of servers and hours of a group may come together or apart in whatever way (Boole).
    """
    each_hour = high + (levels > limit) @ SHARES
    return np.asarray(np.minimum(each_hour.sum(axis=-1), 1.0))


def first_fit_by_group(
    order: Sequence[int], groups: Sequence[str], levels: Floats, high: Floats, limit: float, max_risk: float
) -> list[Merged]:
    """The servers of each group packed by `first_fit`; `groups`: that of each server, "" for those of none."""
    named = sorted({groups[server] for server in order} - {""})
    parts = ([server for server in order if groups[server] == name] for name in named)
    return [merged for part in parts for merged in first_fit(part, levels, high, limit, max_risk)]


def first_fit(order: Iterable[int], levels: Floats, high: Floats, limit: float, max_risk: float) -> list[Merged]:
    """Each server, in the order given, into the first group whose risk stays within `max_risk`, else into a new one.

    `levels` and `high` as of `merge_risks`, a row a server. Groups of one are left out.
    """
    groups: list[list[int]] = []
    sums, highs, risks = np.empty((16, *levels.shape[1:])), np.empty((16, high.shape[1])), np.empty(16)
    for server in order:
        alone = merge_risks(levels[server, None], high[server, None], limit)[0]
        if alone > max_risk:  # it fits nowhere, and nobody would fit into a group of its own
            continue
        count = len(groups)
        with_it = merge_risks(sums[:count] + levels[server], highs[:count] + high[server], limit)
        fits = np.flatnonzero(with_it <= max_risk)
        if fits.size:
            at = int(fits[0])
            groups[at].append(server)
            sums[at] += levels[server]
            highs[at] += high[server]
            risks[at] = with_it[at]
            continue
        if count == len(sums):
            sums, highs, risks = (np.concatenate((each, np.empty_like(each))) for each in (sums, highs, risks))
        groups.append([server])
        sums[count], highs[count], risks[count] = levels[server], high[server], alone
    return [Merged(tuple(group), float(risk)) for group, risk in zip(groups, risks, strict=False) if len(group) > 1]


def fullest_first(size: Floats, names: Sequence[str]) -> list[int]:
    """Indices from the largest size to the smallest; among equals by name."""
    return sorted(range(len(names)), key=lambda server: (-size[server], names[server]))
