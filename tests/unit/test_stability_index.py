"""The population stability index, by hand."""

import math

import numpy as np
import pytest

from batch.drift import stability_index


def test_equal_shares_have_none_and_it_counts_both_ways() -> None:
    then, now = np.array([0, 500, 500]), np.array([0, 250, 750])
    assert stability_index(then, then * 10) == pytest.approx(0, abs=2e-3)
    assert stability_index(then, now) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5), rel=0.02)
    assert stability_index(then, now) == pytest.approx(stability_index(now, then))


def test_what_was_never_seen_counts_without_becoming_infinite() -> None:
    assert 5 < stability_index(np.array([0, 1000]), np.array([1000, 0])) < 20
