"""Workload classes at their thresholds."""

import numpy as np
import pytest

from serverload.steps.labels import class_index, workload_class

NAN = float("nan")


@pytest.mark.parametrize(
    ("peak_load", "expected"),
    [
        (0.0, "low"),
        (99.999999, "low"),
        (100.0, "low"),
        (100.000001, "medium"),
        (500.0, "medium"),
        (500.000001, "high"),
        (9e12, "high"),
        (NAN, None),
    ],
)
def test_low_up_to_100_medium_up_to_500_high_above(peak_load, expected):
    assert workload_class(np.array([peak_load]), low_max=100, medium_max=500).to_list() == [expected]


def test_less_than_half_a_millionth_is_no_difference():
    above = np.array([100.0000004, 100.0000006])
    assert workload_class(above, low_max=100, medium_max=500).to_list() == ["low", "medium"]


def test_a_sum_that_floats_carry_past_the_threshold_is_still_on_it():
    load = np.array([0.1 + 0.2])
    assert load[0] > 0.3
    assert class_index(load, low_max=0.3, medium_max=500).tolist() == [0]


def test_a_position_in_classes_or_minus_one():
    loads = np.array([1.0, 300.0, NAN, 501.0])
    assert class_index(loads, low_max=100, medium_max=500).tolist() == [0, 1, -1, 2]


def test_thresholds_are_arguments():
    assert workload_class(np.array([5.0, 5.5, 7.0]), low_max=5, medium_max=5.5).to_list() == ["low", "medium", "high"]


def test_no_loads_give_no_classes():
    assert workload_class(np.array([]), low_max=100, medium_max=500).to_list() == []
