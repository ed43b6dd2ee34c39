"""How advice has held: what it promised beside what came, and what a planner would have done who knew all of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES, MICROS
from serverload.planning.advice import Advice, Kind, promised_class, window_means
from serverload.planning.merging import first_fit_by_group, fullest_first
from serverload.planning.outlook import SHARES, Floats, Outlook
from serverload.steps.labels import class_index

MEASURES: Mapping[Kind, str] = {
    Kind.MERGE: "servers freed",
    Kind.ADD: "servers that went high",
    Kind.MAINTAIN: "mean load in the window",
}
"""What advice achieves, in all or (windows) on average; beside it, what it would have been for one who knows all."""

_HIGH = len(CLASSES) - 1


@dataclass(frozen=True)
class Judged:
    """One piece of advice after its hours have passed: whether it held, how sure it was, what it achieved."""

    kind: Kind
    held: bool
    confidence: float
    achieved: float


@dataclass(frozen=True)
class AllKnowing:
    """What knowing all would have achieved, by kind; of windows a mean load for each server."""

    freed: int
    went_high: int
    quietest: Floats


def judged(outlook: Outlook, given: Iterable[Advice], came: Floats) -> list[Judged]:
    """Each piece of advice beside `came`, peak loads as `Outlook.said`, NaN where not known.

    A merge holds if the sum of its servers' peaks is high in no hour: an upper bound of their common peak. `add` holds
    if the server went high, a window if no hour of it exceeded the class that was forecast. What has no known hour is
    not judged.
    """
    classes = class_index(came, low_max=outlook.low_max, medium_max=outlook.medium_max)
    return [
        told
        for advice in given
        if not np.isnan(came[[advice.server, *advice.others], advice.first : advice.last + 1]).all()
        for told in [_judged(outlook, advice, came, classes)]
    ]


def _judged(outlook: Outlook, advice: Advice, came: Floats, classes: NDArray[np.int8]) -> Judged:
    hours = slice(advice.first, advice.last + 1)
    if advice.kind is Kind.MERGE:
        together = np.nansum(np.rint(came[[advice.server, *advice.others], hours] * MICROS), axis=0)
        held = bool((together <= np.rint(outlook.medium_max * MICROS)).all())
        achieved = float(len(advice.others) * held)
    elif advice.kind is Kind.ADD:
        held = bool((classes[advice.server, hours] == _HIGH).any())
        achieved = float(held)
    else:
        held = bool(
            classes[advice.server, hours].max() <= promised_class(outlook, advice.server, advice.first, advice.last)
        )
        achieved = float(np.nanmean(came[advice.server, hours]))
    return Judged(advice.kind, held, advice.confidence, achieved)


def all_knowing(outlook: Outlook, came: Floats, window_hours: int) -> AllKnowing:
    """The same rules with what came in the place of what was forecast; every server of a group may be merged."""
    classes = class_index(came, low_max=outlook.low_max, medium_max=outlook.medium_max)
    loads = np.rint(np.nan_to_num(came) * MICROS)
    levels = np.broadcast_to(loads[..., None], (*loads.shape, len(SHARES)))
    limit = np.rint(outlook.medium_max * MICROS)
    known = (~np.isnan(came)).sum(axis=1) > 0
    order = [server for server in fullest_first(loads.max(axis=1, initial=0.0), outlook.servers) if known[server]]
    merged = first_fit_by_group(order, outlook.groups, levels, np.zeros_like(loads), limit, 0.0)
    freed = sum(len(each.members) - 1 for each in merged)
    quietest = window_means(np.where(np.isnan(came), np.inf, came), window_hours).min(axis=1)
    return AllKnowing(freed, int((classes == _HIGH).any(axis=1).sum()), quietest[np.isfinite(quietest)])


def held_rows(told: Sequence[tuple[Sequence[Judged], AllKnowing]]) -> list[dict[str, object]]:
    """A row for each kind of advice over several issued hours; see MEASURES for `achieved` and `all_knowing`."""
    windows = np.concatenate([knowing.quietest for _judged, knowing in told])
    knowing = {
        Kind.MERGE: float(sum(each.freed for _judged, each in told)),
        Kind.ADD: float(sum(each.went_high for _judged, each in told)),
        Kind.MAINTAIN: float(windows.mean()) if windows.size else None,
    }
    return [
        _row(kind, [each for given, _ in told for each in given if each.kind is kind], knowing[kind]) for kind in Kind
    ]


def _row(kind: Kind, of_kind: Sequence[Judged], knowing: float | None) -> dict[str, object]:
    held = sum(each.held for each in of_kind)
    achieved = sum(each.achieved for each in of_kind)
    if kind is Kind.MAINTAIN:
        achieved = achieved / len(of_kind) if of_kind else 0.0
    return {
        "advice": kind.value,
        "given": len(of_kind),
        "held": held,
        "held_share": held / len(of_kind) if of_kind else None,
        "confidence": sum(each.confidence for each in of_kind) / len(of_kind) if of_kind else None,
        "measure": MEASURES[kind],
        "achieved": achieved,
        "all_knowing": knowing,
    }
