"""Forecasts without Spark, row by row: the class of least cost, the set, and what they rest on."""

import numpy as np
import pytest
from flat_cases import FOREST, drawn

from serverload.model.decision import Decision
from serverload.model.flat_forecasts import OwnHistory, flat_forecasts

ROWS = drawn(usual_load=[20.0, 40.0, 40.0], missing_usual_load=[False, False, True], month=[6, 6, 7])
"""Probabilities 0.625 0.375 0, then 0.1875 0.4375 0.375, then 0.375 0.25 0.375."""


def told(
    decision: Decision, own: OwnHistory | None = None, groups: tuple[str, ...] = ("", "", "")
) -> dict[str, list[object]]:
    return flat_forecasts(FOREST, decision, ROWS, groups, own, min_known_hours=24).to_dict(as_series=False)


def test_the_class_has_the_least_cost_and_of_equals_is_the_lower() -> None:
    assert told(Decision())["workload_class"] == ["low", "medium", "low"]
    dear = Decision(cost=((0, 1, 1), (1, 0, 1), (9, 9, 0)))
    assert told(dear)["workload_class"] == ["low", "high", "high"]


def test_a_set_holds_what_reaches_its_groups_threshold_what_lies_between_and_what_is_said_or_nothing() -> None:
    sets = Decision(thresholds={"": (0.3, 0.3, 0.3), "7": (0.6, 0.3, 0.6)})
    assert told(sets)["prediction_set"] == ["low,medium", "medium,high", "low,medium,high"]
    assert told(sets, groups=("7", "8", "7"))["prediction_set"] == ["low,medium", "medium,high", ""]
    said_too = Decision(thresholds={"": (0.9, 0.3, 0.9)})
    assert told(said_too)["prediction_set"] == ["low,medium", "medium", ""]
    assert told(Decision())["prediction_set"] == [None] * 3


def test_where_little_is_known_the_servers_own_frequencies_stand_in_or_nothing() -> None:
    own = OwnHistory(np.array([[0.0, 0.2, 0.8]] * 3), np.array([24, 23, 23]), np.array([24, 24, 23]))
    rows = told(Decision(thresholds={"": (0.3, 0.3, 0.3)}), own)
    assert rows["basis"] == ["model", "climatology", "none"]
    assert rows["workload_class"] == ["low", "high", None]
    assert rows["probability_high"] == [0.0, pytest.approx(0.8), None]
    assert rows["prediction_set"] == ["low,medium", "high", None]
