"""Quality of the last days: drawn outcomes in, scores out, held against sums by hand."""

import math
from datetime import timedelta
from pathlib import Path

import pytest
from table_cases import NOON, hours, outcome, put, shown

from serverload.contracts.errors import InputError
from serverload.store.quality import quality

CHANCES = {"probability_low": 0.5, "probability_medium": 0.3, "probability_high": 0.2, "prediction_set": "low,medium"}


def drawn(home: Path) -> None:
    """Two servers of two types; one outcome is a fortnight old, one was revised, one hour never counted."""
    put(home, "servers", {"server_ip": "a", "server_type": 1}, {"server_ip": "b"})
    put(
        home,
        "forecast_outcomes",
        outcome("a", 0, 1, "low", "low", rps=0.1, covered=True),
        outcome("a", 0, 2, "low", "high", rps=0.7, covered=False, probability_of_actual=0.0),
        outcome("a", 0, 2, "low", "medium", rps=0.4, covered=True, probability_of_actual=0.25, outcome_revision=1),
        outcome("a", 0, 3, "low", "high", rps=0.9),
        outcome("a", 0, 3, "high", "high", rps=0.3, covered=True, revision=1),
        outcome("b", 0, 30, "medium", "medium", rps=0.2, covered=False),
        outcome("b", 0, 31, "medium", None, rps=None),
        outcome("b", -24 * 14, 1, "low", "high", rps=1.0),
    )


def test_the_newest_word_on_each_forecast_of_the_last_days_counts(tmp_path: Path) -> None:
    drawn(tmp_path)
    found = quality(str(tmp_path), days=14, by="horizon")
    assert shown(found, "horizons", "matured", "hours", "accuracy", "rps", "covered") == [
        ("1-6", 3, 3, pytest.approx(2 / 3), pytest.approx(0.8 / 3), 1.0),
        ("25-48", 1, 1, 1.0, 0.2, 0.0),
    ]
    # said low, low, high; came low, medium, high: F1 2/3, 0 and 1
    assert found["macro_f1"].to_pylist() == pytest.approx([5 / 9, 1.0])
    assert found["recall_low"].to_pylist() == [1.0, None]
    assert found["recall_medium"].to_pylist() == [0.0, 1.0]
    assert found["log_loss"].to_pylist()[0] == pytest.approx((2 * math.log(2) + math.log(4)) / 3)


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("group", [("", 1), ("1", 3)]),
        ("class", [("high", 1), ("low", 1), ("medium", 2)]),
        ("day", [("2016-06-10", 3), ("2016-06-11", 1)]),
    ],
)
def test_outcomes_are_told_by_server_type_class_and_day(tmp_path: Path, by: str, rows: list[tuple[str, int]]) -> None:
    drawn(tmp_path)
    assert shown(quality(str(tmp_path), days=14, by=by), by, "matured") == rows


def test_by_model_a_shadow_is_scored_on_what_was_issued_too(tmp_path: Path) -> None:
    drawn(tmp_path)
    said = {"model_version": "4", "issued_hour": hours(0), "revision": 0, "workload_class": "low", **CHANCES}
    for horizon in (1, 2, 48):  # nothing has matured 48 hours ahead
        target = hours(horizon)
        put(
            tmp_path,
            "shadow_forecasts",
            said | {"server_ip": "a", "horizon_hours": horizon, "target_hour": target, "target_date": target.date()},
        )
    found = quality(str(tmp_path), days=14, by="model")
    # low came: (0.25 + 0.04) / 2, then medium: (0.25 + 0.04) / 2
    assert shown(found, "model", "role", "matured", "rps", "issued_rps", "covered") == [
        ("3", "issued", 4, pytest.approx(0.25), None, 0.75),
        ("4", "shadow", 2, pytest.approx(0.145), pytest.approx(0.25), 1.0),
    ]


def test_before_anything_has_matured_it_is_one_line(tmp_path: Path) -> None:
    put(tmp_path, "servers", {"server_ip": "a", "last_event": NOON + timedelta(hours=1)})
    with pytest.raises(InputError, match="no forecast has matured yet"):
        quality(str(tmp_path), days=14, by="horizon")
