"""Thresholds of prediction sets: counted by hand, and their coverage on hours not counted."""

import hashlib

import numpy as np
import pytest

from serverload.model.prediction_sets import BINS, drawn_below, set_thresholds, split_threshold, thresholds_by_group


def counts_of(*classes: dict[int, int]) -> np.ndarray:
    """Counts per class from bin -> rows."""
    counts = np.zeros((3, BINS), dtype=np.int64)
    for came, each in enumerate(classes):
        for bin_number, rows in each.items():
            counts[came, bin_number] = rows
    return counts


def test_the_threshold_leaves_out_the_tenth_that_was_called_least_probable():
    counts = counts_of({800: 950, 100: 50}, {800: 950, 100: 50}, {800: 850, 300: 100, 100: 50})

    # of 3000 hours 2850 were given 0.3 and more, 2750 were given 0.8 and more; high alone reaches 88.5 % at 0.3
    assert set_thresholds(counts, 0.9) == (0.8, 0.8, 0.3)


def test_split_conformal_has_one_threshold_for_all():
    cells = [("a", 0, 800, 950), ("a", 0, 100, 50), ("b", 2, 300, 900), ("b", 1, 100, 100)]

    # of 2000 hours 1850 were given 0.3 and more, 950 were given 0.8
    assert split_threshold(cells, 0.9) == 0.3
    assert split_threshold(cells, 0.4) == 0.8


def test_no_class_is_given_up_for_the_others():
    counts = counts_of({950: 9000}, {950: 9000}, {950: 100, 50: 300})

    assert set_thresholds(counts, 0.9)[2] == 0.05


def test_an_hour_more_that_was_missed_counts_as_seen():
    nine_in_ten = counts_of({900: 9, 100: 1}, {900: 9, 100: 1}, {900: 9, 100: 1})

    assert set_thresholds(nine_in_ten, 0.9) == (0.1, 0.1, 0.1)


def test_thresholds_of_one_half_cover_the_other_half():
    random = np.random.default_rng(7)
    truth = random.dirichlet((0.6, 0.6, 0.3), 60_000)
    came = (truth.cumsum(axis=1) < random.random(60_000)[:, None]).sum(axis=1)
    given = truth[np.arange(60_000), came]
    counts = np.zeros((3, BINS), dtype=np.int64)
    np.add.at(counts, (came[:30_000], np.minimum((given[:30_000] * BINS).astype(int), BINS - 1)), 1)

    covered = given[30_000:] >= np.array(set_thresholds(counts, 0.9))[came[30_000:]]

    assert covered.mean() == pytest.approx(0.9, abs=0.01)
    assert min(covered[came[30_000:] == each].mean() for each in range(3)) >= 0.87


def test_a_class_that_hardly_came_asks_for_nothing_of_its_own():
    assert set_thresholds(counts_of({950: 9000}, {950: 9000}, {50: 299}), 0.9) == (0.95, 0.95, 0.95)
    assert set_thresholds(counts_of({950: 9000}, {950: 9000}, {50: 300}), 0.9) == (0.95, 0.95, 0.05)


def test_each_group_is_covered_and_others_have_the_thresholds_of_all():
    easy = [("1", came, 800, 40_000) for came in range(3)]
    hard = [("2", came, 300, 400) for came in range(3)]

    all_alike = {"": (0.8, 0.8, 0.8), "1": (0.8, 0.8, 0.8)}
    assert thresholds_by_group(easy, 0.9) == all_alike
    assert thresholds_by_group([*easy, *hard], 0.9) == {**all_alike, "2": (0.3, 0.3, 0.3)}
    assert thresholds_by_group([*easy, *hard[:2], ("2", 2, 300, 199)], 0.9) == all_alike  # 999 hours
    assert thresholds_by_group([("1", 0, 800, 999)], 0.9) == {"": (0.8, 0.8, 0.8)}


def test_a_group_may_be_covered_nine_points_less_than_all():
    easy = [("1", came, 800, 10_000) for came in range(3)]
    covered = [[("2", 0, 800, rows), ("2", 0, 300, 2000 - rows)] for rows in (1621, 1620)]

    # of 2000 hours, and the one that counts as missed, 81 % are 1620.8
    told = [thresholds_by_group([*easy, *hard], 0.9)["2"][0] for hard in covered]
    assert told == [0.8, 0.3]


def test_a_class_is_covered_over_all_groups_together():
    cells = [(group, came, 800, 4000) for group in "12" for came in range(2)] + [("1", 2, 800, 700), ("2", 2, 200, 300)]

    # of 1000 high hours 700 were given 0.8, all 0.2; both groups are covered without the others
    assert thresholds_by_group(cells, 0.9) == {"": (0.8, 0.8, 0.2), "1": (0.8, 0.8, 0.2), "2": (0.8, 0.8, 0.2)}


def test_known_thresholds_stay_where_too_few_hours_have_come():
    cells = [("1", came, 800, 400) for came in range(3)] + [("2", 0, 800, 50)]
    known = {"": (0.2, 0.2, 0.2), "1": (0.1, 0.1, 0.1), "2": (0.25, 0.2, 0.15)}

    assert thresholds_by_group(cells, 0.9, known) == {**known, "": (0.8, 0.8, 0.8), "1": (0.8, 0.8, 0.8)}
    assert thresholds_by_group(cells[-1:], 0.9, known) == known


def test_more_outcomes_than_are_needed_are_drawn_by_their_key():
    digests = [hashlib.md5(f"10.0.0.{n}/1465560000/{n % 48}".encode()).hexdigest() for n in range(4000)]

    assert sum(digest < drawn_below(1_000_000) for digest in digests) == 4000
    assert sum(digest < drawn_below(4_000_000) for digest in digests) == pytest.approx(1000, abs=60)
