"""What becomes of a model's probabilities, kept as text with its version."""

from serverload.model.calibration import Calibration
from serverload.model.decision import PLAIN_COST, Decision


def test_a_decision_read_back_is_the_same():
    cost = ((0.0, 1.0, 2.0), (1.0, 0.0, 1.0), (2.5, 1.25, 0.0))
    made = Decision(Calibration((1.1, 0.9), (0.1, 0.0)), cost, 0.9, {"": (0.1, 0.2, 0.3), "4": (0.15, 0.2, 0.25)})

    assert Decision.of_text(made.text()) == made


def test_a_version_without_one_says_the_most_probable_class_and_no_set():
    assert Decision.of_text("") == Decision(Calibration(), PLAIN_COST, 0.9, {})
