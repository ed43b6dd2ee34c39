"""Scores of drawn counts; every expected number is worked out by hand."""

from math import isnan

import numpy as np
import pytest

from serverload.contracts.classes import CLASSES
from serverload.model.evaluation import ScoreCells, scores
from serverload.model.reliability import ReliabilityCells, calibration_error, reliability_table

SHARED = {"model": "m", "horizon": 48, "idle": False, "change": False, "server_group": ""}


def cells_of(kind, **columns):
    """Cells with the columns given; the others are the same in all entries."""
    size = len(next(iter(columns.values())))
    rest = {name: np.full(size, entry) for name, entry in SHARED.items()}
    return kind(**(rest | {name: np.array(entries) for name, entries in columns.items()}))


def score_cells_of(confusion: list[list[int]]) -> ScoreCells:
    label, said = np.divmod(np.arange(9), 3)
    zeros, none = np.zeros(9), np.zeros(9, dtype=int)
    counts = {"day": none, "sets": none, "covered": none, "set_size": none, "rows": np.ravel(confusion)}
    return cells_of(ScoreCells, label=label, said=said, log_loss=zeros, rps=zeros, **counts)


def reliability_of(*entries: tuple[str, int, int, float, int]) -> ReliabilityCells:
    """Cells of (class, bin, rows, summed probability, rows that came)."""
    names, bins, rows, given, came = zip(*entries, strict=True)
    label = [CLASSES.index(name) for name in names]
    return cells_of(ReliabilityCells, label=label, bin=bins, rows=rows, given=given, came=came)


def test_kappa_weighs_a_mistake_by_the_square_of_its_steps():
    told = scores(score_cells_of([[4, 1, 1], [0, 2, 0], [1, 0, 1]]))

    # mistakes: one of one step, two of two steps, 1 + 2 x 4 = 9; by chance: came 6, 2, 2, said 5, 3, 2 of 10:
    # one step (6x3 + 2x5 + 2x2 + 2x3) / 10 = 3.8, two steps 4 x (6x2 + 2x5) / 10 = 8.8
    assert told.kappa == pytest.approx(1 - 9 / 12.6)


def test_kappa_is_one_where_all_is_right_and_none_where_chance_is_never_wrong():
    assert scores(score_cells_of([[3, 0, 0], [0, 2, 0], [0, 0, 0]])).kappa == 1.0
    assert isnan(scores(score_cells_of([[3, 0, 0], [0, 0, 0], [0, 0, 0]])).kappa)


def test_kappa_is_zero_for_a_forecast_that_always_says_the_same():
    assert scores(score_cells_of([[0, 5, 0], [0, 3, 0], [0, 2, 0]])).kappa == pytest.approx(0.0)


def test_two_step_errors_are_low_for_high_and_high_for_low():
    assert scores(score_cells_of([[4, 1, 1], [5, 2, 5], [2, 3, 1]])).two_step_errors == pytest.approx(3 / 24)


def test_the_cost_is_that_of_what_came_and_what_was_said():
    cost = ((0.0, 1.0, 2.0), (1.0, 0.0, 1.0), (10.0, 5.0, 0.0))

    assert scores(score_cells_of([[4, 1, 1], [0, 2, 0], [1, 0, 1]]), cost).cost == pytest.approx((1 + 2 + 10) / 10)


def test_every_mistake_costs_one_unless_told_otherwise():
    assert scores(score_cells_of([[4, 1, 1], [0, 2, 0], [1, 0, 1]])).cost == pytest.approx(3 / 10)


def test_nothing_counted_gives_no_number_but_no_error():
    told = scores(score_cells_of([[0] * 3] * 3))

    assert told.rows == 0
    assert isnan(told.rps)
    assert isnan(told.cost)
    assert isnan(told.two_step_errors)


def test_the_calibration_error_is_the_mean_over_classes_of_what_bins_are_off():
    cells = reliability_of(
        ("low", 1, 4, 0.4, 2),  # said 0.1, came 0.5: off by 0.4 in 4 of 10
        ("low", 13, 6, 5.4, 6),  # said 0.9, came 1: off by 0.1 in 6 of 10
        ("medium", 3, 10, 2.2, 2),  # said 0.22, came 0.2: off by 0.02
        ("high", 0, 5, 0.0, 0),  # right
        ("high", 5, 5, 2.0, 0),  # said 0.4, never came: off by 0.4 in 5 of 10
    )

    assert calibration_error(cells) == pytest.approx(((0.4 * 0.4 + 0.1 * 0.6) + 0.02 + 0.4 * 0.5) / 3)


def test_entries_of_one_bin_make_up_for_each_other():
    cells = reliability_of(
        ("low", 7, 2, 1.0, 2), ("low", 7, 2, 1.0, 0), ("medium", 7, 4, 2.0, 2), ("high", 0, 4, 0.0, 0)
    )

    assert calibration_error(cells) == 0.0


def test_no_forecasts_have_no_calibration_error():
    assert isnan(calibration_error(reliability_of(("low", 7, 2, 1.0, 2)).where(np.array([False]))))


def test_the_reliability_table_has_the_bins_that_hold_something():
    (only,) = reliability_table(reliability_of(("medium", 3, 8, 2.0, 3)))

    assert (only.workload_class, only.bin, only.rows) == ("medium", 3, 8)
    assert (only.mean_probability, only.share_that_came) == (0.25, 0.375)


def test_cells_of_several_counts_are_joined_and_picked_by_model_and_horizon():
    near, far = score_cells_of([[1, 0, 0]] * 3), score_cells_of([[0, 0, 2]] * 3)
    far = cells_of(ScoreCells, **{name: getattr(far, name) for name in far.__dataclass_fields__} | {"horizon": [6] * 9})
    both = ScoreCells.joined([near, far])

    assert scores(both.of("m")).rows == 9
    assert scores(both.of("m", 6)).rows == 6
    assert scores(both.of("other")).rows == 0
