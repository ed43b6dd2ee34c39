"""Calibration: fitted on counts, kept only where it would have helped."""

import numpy as np
import pytest

from serverload.model.calibration import BINS, Calibration, bin_of, fitted_calibration, log_odds


def counted(days: int, rows_per_day: int, slope: float, shift: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Counts of forecasts whose true log-odds are `slope * said + shift` at both borders."""
    random = np.random.default_rng(seed)
    rows, came = np.zeros((2, days, 2, BINS))
    for day in range(days):
        for border in (0, 1):
            said = random.normal(0, 2, rows_per_day)
            below = random.random(rows_per_day) < 1 / (1 + np.exp(-(slope * said + shift)))
            at = np.floor(bin_of(said)).astype(int)
            np.add.at(rows[day, border], at, 1)
            np.add.at(came[day, border], at, below)
    return rows, came


def test_what_was_said_too_timidly_is_sharpened():
    fitted = fitted_calibration(*counted(10, 4000, slope=1.5, shift=-0.3))

    assert fitted.slopes == pytest.approx((1.5, 1.5), abs=0.08)
    assert fitted.shifts == pytest.approx((-0.3, -0.3), abs=0.06)


def test_what_was_right_stays_as_it_is_to_the_last_bit():
    fitted = fitted_calibration(*counted(4, 500, slope=1.0, shift=0.0, seed=5))
    chances = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])

    assert fitted == Calibration()
    assert fitted.applied(chances) is chances


def test_one_day_is_too_little_to_tell():
    assert fitted_calibration(*counted(1, 4000, slope=2.0, shift=0.0)) == Calibration()


def test_calibrated_probabilities_add_up_and_keep_their_order():
    random = np.random.default_rng(3)
    chances = random.dirichlet((0.3, 0.3, 0.3), 500)
    drawn = Calibration((3.0, 0.5), (1.5, -1.0)).applied(chances)  # its lines cross

    assert drawn.sum(axis=1) == pytest.approx(np.ones(500), abs=1e-12)
    assert drawn.min() >= 0


def test_a_hand_made_case():
    # log-odds of 0.2 is -1.3863, of 0.5 it is 0: with slope 2 they are 0.0588 and 0.5
    drawn = Calibration((2.0, 2.0), (0.0, 0.0)).applied(np.array([[0.2, 0.3, 0.5]]))

    assert drawn[0] == pytest.approx([0.0588235294, 0.4411764706, 0.5], abs=1e-9)
    assert float(log_odds(0.2)) == pytest.approx(-1.3862943611)
