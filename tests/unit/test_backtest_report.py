"""The report of a backtest on drawn counts; every expected number is worked out by hand."""

import json
from datetime import UTC, datetime
from math import isnan

import numpy as np
import pytest

from batch.backtest_report import Counts, CutoffResult, PlainSets, Report, report
from batch.tested_rows import CEILING
from batch.train import FOREST
from serverload.model.baselines import BASELINES, CLIMATOLOGY
from serverload.model.decision import PLAIN_COST
from serverload.model.evaluation import ScoreCells
from serverload.model.reliability import ReliabilityCells

RPS = {FOREST: 0.06, CEILING: 0.05, CLIMATOLOGY: 0.08}
"""Mean of each model; the other baselines have 0.1."""


def drawn(models: tuple[str, ...], *, horizons=(6, 48), day=0, wrong: int = 2, group: str = "a") -> Counts:
    """Ten low hours per model and horizon, of which some are told high; two of the right ones are change hours."""
    entries = [
        (model, horizon, said, change, rows)
        for model in models
        for horizon in horizons
        for said, change, rows in ((0, False, 8 - wrong), (0, True, 2), (2, False, wrong))
    ]
    model, horizon, said, change, rows = (np.array(column) for column in zip(*entries, strict=True))
    no, size = np.zeros(len(entries), dtype=bool), len(entries)
    rps = np.array([RPS.get(name, 0.1) for name in model.tolist()])
    shared = {"model": model, "horizon": horizon, "idle": no, "change": change, "server_group": np.full(size, group)}
    label, days = np.zeros(size, dtype=int), np.full(size, day)
    # every hour has a set: of one class, or of two where high was told; those of change hours miss what came
    sets = {"sets": rows, "covered": np.where(change, 0, rows), "set_size": rows * np.where(said == 0, 1, 2)}
    return Counts(
        ScoreCells(**shared, day=days, label=label, said=said, rows=rows, log_loss=rows * 0.3, rps=rows * rps, **sets),
        ReliabilityCells(**shared, label=label, bin=label, rows=rows, given=rows * 0.05, came=rows),
    )


def told(*counts: Counts) -> Report:
    cutoffs = [
        CutoffResult(datetime(2016, 6, 6 + 7 * number, tzinfo=UTC), 100, 1.0, False, each, PlainSets(0, 0, 0))
        for number, each in enumerate(counts)
    ]
    return report(cutoffs, PLAIN_COST, seed=42)


ALL_MODELS = (FOREST, *BASELINES, CEILING)


def row_of(rows: list[dict], **wanted: object) -> dict:
    (only,) = [row for row in rows if wanted.items() <= row.items()]
    return only


def test_the_gap_closed_is_measured_from_the_best_baseline_to_the_ceiling():
    found = told(drawn(ALL_MODELS))

    for horizon in (6, 48, "all"):
        row = row_of(found.horizons, model=FOREST, horizon_hours=horizon)
        assert row["gap_closed"] == pytest.approx((0.08 - 0.06) / (0.08 - 0.05))
    assert row_of(found.horizons, model=CEILING, horizon_hours=6)["gap_closed"] == pytest.approx(1.0)
    assert row_of(found.horizons, model=CLIMATOLOGY, horizon_hours=6)["gap_closed"] == pytest.approx(0.0)


def test_without_a_ceiling_no_gap_is_told():
    found = told(drawn((FOREST, *BASELINES)))

    assert isnan(row_of(found.horizons, model=FOREST, horizon_hours="all")["gap_closed"])


def test_each_other_model_has_the_forests_gain_over_it():
    found = told(drawn(ALL_MODELS), drawn(ALL_MODELS, day=7))

    over = row_of(found.horizons, model="majority", horizon_hours=48)
    assert (over["rps_gain_low"], over["rps_gain"], over["rps_gain_high"]) == pytest.approx((0.04, 0.04, 0.04))
    assert row_of(found.horizons, model=CEILING, horizon_hours=48)["rps_gain"] == pytest.approx(-0.01)
    assert row_of(found.horizons, model=FOREST, horizon_hours=48)["rps_gain"] is None


def test_change_hours_are_scored_apart():
    row = row_of(told(drawn(ALL_MODELS)).horizons, model=FOREST, horizon_hours=6)

    assert (row["rows"], row["accuracy"], row["two_step_errors"]) == pytest.approx((10, 0.8, 0.2))
    assert (row["change_rows"], row["change_accuracy"]) == (2, 1.0)
    assert row["calibration_error"] == pytest.approx(0.95)
    assert (row["covered"], row["set_size"]) == pytest.approx((0.8, 1.2))
    assert (row["change_covered"], row["change_set_size"]) == (0.0, 1.0)


def test_classes_tell_how_often_each_came_and_was_said():
    found = told(drawn(ALL_MODELS)).classes

    low = row_of(found, **{"model": FOREST, "class": "low", "horizon_hours": 48, "hours": "all"})
    assert (low["came"], low["said"], low["precision"], low["recall"]) == (10, 8, 1.0, 0.8)
    assert (low["f1"], low["covered"]) == pytest.approx((16 / 18, 0.8))
    high = row_of(found, **{"model": FOREST, "class": "high", "horizon_hours": "all", "hours": "all"})
    assert (high["came"], high["said"], high["precision"]) == (0, 4, 0.0)
    assert row_of(found, **{"model": FOREST, "class": "low", "horizon_hours": 48, "hours": "change"})["came"] == 2


def test_groups_and_cutoffs_are_kept_apart():
    found = told(drawn(ALL_MODELS, wrong=2, group="a"), drawn(ALL_MODELS, wrong=4, group="b", day=7))

    assert [row_of(found.groups, model=FOREST, server_group=name)["accuracy"] for name in "ab"] == [0.8, 0.6]
    by_day = [row_of(found.cutoffs, model=FOREST, cutoff=day) for day in ("2016-06-06", "2016-06-13")]
    assert [(row["accuracy"], row["fitted_rows"]) for row in by_day] == [(0.8, 100), (0.6, 100)]
    assert row_of(found.horizons, model=FOREST, horizon_hours="all")["accuracy"] == pytest.approx(0.7)


def test_a_nearer_horizon_that_is_less_accurate_than_a_farther_one_is_told():
    near, middle, far = (drawn(ALL_MODELS, horizons=(h,), wrong=wrong) for h, wrong in ((6, 3), (12, 4), (48, 2)))

    found = told(Counts.joined([near, middle, far])).worse_than_farther

    assert [(row["horizon_hours"], row["farther"]) for row in found] == [(6, 48), (12, 48)]
    assert (found[0]["accuracy"], found[0]["farther_accuracy"]) == (0.7, 0.8)
    assert told(drawn(ALL_MODELS)).worse_than_farther == []


def test_the_file_holds_all_views_and_null_for_what_cannot_be_told(tmp_path):
    told(drawn((FOREST, *BASELINES))).save(tmp_path / "report.json", {"step_days": 7})

    kept = json.loads((tmp_path / "report.json").read_text())

    assert kept["step_days"] == 7
    assert kept["horizons"][0]["gap_closed"] is None
    assert {"horizons", "classes", "groups", "cutoffs", "reliability", "confusions"} <= set(kept)
    assert kept["confusions"][0]["confusion"] == [[8, 0, 2], [0, 0, 0], [0, 0, 0]]
