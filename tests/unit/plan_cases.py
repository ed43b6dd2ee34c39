"""Outlooks drawn for a test: servers whose hours to come, and past ones, are all alike unless told otherwise."""

from collections.abc import Sequence

import numpy as np

from serverload.contracts.plan_settings import PLAN_HOURS, PlanSettings
from serverload.planning.outlook import HISTORY_HOURS, Outlook

RULES = PlanSettings(max_risk=0.05, min_confidence=0.5, maintenance_hours=4, valid_minutes=90)
LOW, MEDIUM, HIGH = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
Chances = tuple[float, float, float]


def outlook(
    *servers: tuple[float, Chances], groups: Sequence[str] = (), hours: dict[int, tuple[int, Chances]] | None = None
) -> Outlook:
    """Servers `a`, `b` .. of one group, each with the load of all its past hours and the chances of each hour to come.

    `hours`: other chances of one server in one hour, as hour -> (server, chances).
    """
    chances = np.array([[each] * PLAN_HOURS for _load, each in servers], dtype=float)
    chances = chances.reshape(len(servers), PLAN_HOURS, 3)
    for hour, (server, other) in (hours or {}).items():
        chances[server, hour] = other
    past = np.array([[load] * HISTORY_HOURS for load, _each in servers], dtype=float)
    past = past.reshape(len(servers), HISTORY_HOURS)
    names = tuple("abcdefghijklmnopqrstuvwxyz"[: len(servers)])
    return Outlook(names, tuple(groups) or ("g",) * len(servers), chances, chances.argmax(axis=2), past, 100.0, 500.0)
