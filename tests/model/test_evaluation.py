"""Scores of drawn forecasts; every expected number is worked out by hand."""

from datetime import UTC, datetime, timedelta
from math import log

import numpy as np
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from serverload.model.evaluation import ScoreCells, block_bootstrap_difference, change_hour, score_cells, scores
from serverload.model.reliability import reliability_cells, reliability_table

DDL = (
    "model STRING, horizon_hours INT, target_hour TIMESTAMP, idle BOOLEAN, label STRING, workload_class STRING, "
    "probability_low DOUBLE, probability_medium DOUBLE, probability_high DOUBLE"
)
FIRST_DAY = datetime(2016, 6, 6, tzinfo=UTC)


def forecasts(spark, rows: list[tuple[object, ...]]) -> DataFrame:
    """Rows (label, class said, the three probabilities, and by name model, day, idle) as drawn below."""
    return spark.createDataFrame(rows, DDL)


def row(label, said, chances, *, model="forest", day=0, hour=0, idle=False, horizon=48):
    return (model, horizon, FIRST_DAY + timedelta(days=day, hours=hour), idle, label, said, *chances)


@pytest.fixture(scope="module")
def cells(spark) -> ScoreCells:
    return score_cells(
        forecasts(
            spark,
            [
                row("low", "low", (0.8, 0.2, 0.0)),
                row("low", "low", (0.5, 0.3, 0.2), idle=True, day=1),
                row("low", "medium", (0.4, 0.6, 0.0)),
                row("medium", "medium", (0.1, 0.9, 0.0), hour=23),
                row("high", "medium", (0.0, 0.75, 0.25), day=1),
                row("high", "high", (0.0, 0.0, 1.0), model="other"),
                row("high", "low", (1.0, 0.0, 0.0), horizon=1),
            ],
        )
    )


def test_scores_of_five_forecasts(cells):
    told = scores(cells.of("forest", 48))

    # low: came 3, said 2, hit 2; medium: came 1, said 3, hit 1; high: came 1, never said
    assert told.confusion == ((2, 1, 0), (0, 1, 0), (0, 1, 0))
    assert told.rows == 5
    assert told.accuracy == pytest.approx(3 / 5)
    assert told.macro_f1 == pytest.approx((4 / 5 + 2 / 4 + 0) / 3)
    assert told.weighted_f1 == pytest.approx((3 * 4 / 5 + 1 * 2 / 4 + 0) / 5)
    assert told.precision[:2] == pytest.approx((1.0, 1 / 3))
    assert np.isnan(told.precision[2])
    assert told.recall == pytest.approx((2 / 3, 1.0, 0.0))
    assert told.log_loss == pytest.approx(-(log(0.8) + log(0.5) + log(0.4) + log(0.9) + log(0.25)) / 5)
    # ranked: squares of (P(low) - came low) and of (P(low or medium) - came low or medium), halved
    assert told.rps == pytest.approx((0.04 + 0.0 + 0.25 + 0.04 + 0.36 + 0.0 + 0.01 + 0.0 + 0.0 + 0.5625) / 2 / 5)


def test_idle_targets_can_be_left_out(cells):
    told = scores(cells.of("forest", 48, idle_too=False))

    assert told.confusion == ((1, 1, 0), (0, 1, 0), (0, 1, 0))


def test_models_and_horizons_are_kept_apart(cells):
    assert scores(cells.of("other", 48)).confusion == ((0, 0, 0), (0, 0, 0), (0, 0, 1))
    assert scores(cells.of("forest", 1)).confusion == ((0, 0, 0), (0, 0, 0), (1, 0, 0))


def test_change_hours_and_server_groups_are_told_apart_where_they_are_given(spark):
    at = (FIRST_DAY, False, "low", "low", 0.8, 0.2, 0.0)
    ddl = f"{DDL}, same_hour_1w DOUBLE, server_group STRING"
    told = spark.createDataFrame(
        [
            ("forest", 48, *at, 500.0, "a"),  # medium last week: a change
            ("forest", 48, *at, 100.0, "a"),  # low as last week
            ("forest", 48, *at, None, "b"),  # not known: no change
        ],
        ddl,
    )

    cells = score_cells(told.withColumn("change", change_hour(low_max=100.0, medium_max=500.0)))

    counted = zip(cells.server_group.tolist(), cells.change.tolist(), cells.rows.tolist(), strict=True)
    assert sorted(counted) == [("a", False, 1), ("a", True, 1), ("b", False, 1)]


def test_prediction_sets_are_counted_where_they_are_given(spark):
    said = [
        row("low", "low", (0.8, 0.2, 0.0)),
        row("high", "low", (0.8, 0.2, 0.0)),
        row("high", "high", (0.0, 0.2, 0.8)),
        row("medium", "medium", (0.3, 0.4, 0.3)),
        row("medium", "low", (0.8, 0.2, 0.0)),
    ]
    said_high, said_medium = (sf.col("workload_class") == name for name in ("high", "medium"))
    sets = sf.when(said_high, None).when(said_medium, "").otherwise("low,medium")
    told = scores(score_cells(forecasts(spark, said).withColumn("prediction_set", sets)))
    # low, high and medium that were called low, in sets of two; medium that was called medium, in an empty one
    assert (told.covered, told.set_size, told.covered_by_class) == (0.5, 1.5, (1.0, 0.5, 0.0))
    assert np.isnan(scores(score_cells(forecasts(spark, said))).covered)


def test_probabilities_are_counted_by_class_and_bin(spark):
    told = [
        row("low", "low", (0.40, 0.45, 0.15)),
        row("high", "low", (0.44, 0.0, 0.56)),
        row("low", "low", (1.0, 0.0, 0.0)),
    ]

    table = reliability_table(reliability_cells(forecasts(spark, told)))

    # of 15 bins 0.40, 0.44 and 0.45 lie in the one from 6/15, 0.56 in that from 8/15, 1 in the last
    counted = [(each.workload_class, each.bin, each.rows) for each in table]
    assert counted[:2] == [("low", 6, 2), ("low", 14, 1)]
    assert counted[2:4] == [("medium", 0, 2), ("medium", 6, 1)]
    assert counted[4:] == [("high", 0, 1), ("high", 2, 1), ("high", 8, 1)]
    assert (table[0].mean_probability, table[0].share_that_came) == pytest.approx((0.42, 0.5))
    assert (table[-1].mean_probability, table[-1].share_that_came) == pytest.approx((0.56, 1.0))


def test_a_class_that_neither_came_nor_was_said_does_not_count_in_macro_f1(cells):
    assert scores(cells.of("other", 48)).macro_f1 == 1.0


def test_a_probability_of_zero_costs_much_but_not_infinity(cells):
    assert scores(cells.of("forest", 1)).log_loss == pytest.approx(34.5388, abs=1e-4)


def test_the_day_is_the_utc_day_of_the_target(cells):
    first = 16958  # days from 1970-01-01 to 2016-06-06

    assert sorted(set(cells.of("forest", 48).day.tolist())) == [first, first + 1]


def drawn_cells(days: list[tuple[int, int]], loss: float) -> ScoreCells:
    """Cells of low and medium targets: per day, how many were told right and how many wrong, at a loss each."""
    entries = [
        (day, label, said, rows)
        for day, (right, wrong) in enumerate(days)
        for label, said, rows in ((0, 0, right), (1, 1, right), (0, 1, wrong), (1, 0, wrong))
    ]
    day, label, said, rows = (np.array(column) for column in zip(*entries, strict=True))
    size = len(entries)
    no = np.zeros(size, dtype=bool)
    return ScoreCells(
        model=np.full(size, "m"), horizon=np.full(size, 48), idle=no, change=no, server_group=np.full(size, ""),
        day=day, label=label, said=said, rows=rows, log_loss=loss * rows, rps=loss / 2 * rows,
        sets=no * 1, covered=no * 1, set_size=no * 1,
    )  # fmt: skip


def test_a_model_has_no_gain_over_itself():
    model = drawn_cells([(5, 5), (9, 1), (2, 8)], 0.5)

    gains = block_bootstrap_difference(model, model)

    assert [(each.gain, each.low, each.high) for each in gains.values()] == [(0.0, 0.0, 0.0)] * 3


def test_a_gain_that_is_the_same_every_day_has_no_spread():
    better, worse = drawn_cells([(9, 1)] * 4, 0.25), drawn_cells([(6, 4)] * 4, 0.75)

    gains = block_bootstrap_difference(better, worse)

    assert (gains["macro_f1"].low, gains["macro_f1"].gain, gains["macro_f1"].high) == pytest.approx((0.3, 0.3, 0.3))
    assert (gains["log_loss"].low, gains["log_loss"].high) == pytest.approx((0.5, 0.5))
    assert (gains["rps"].low, gains["rps"].gain, gains["rps"].high) == pytest.approx((0.25, 0.25, 0.25))


def test_a_gain_won_on_a_single_day_is_not_certain():
    better, worse = drawn_cells([(10, 0), (5, 5), (5, 5), (5, 5)], 0.5), drawn_cells([(5, 5)] * 4, 0.5)

    gain = block_bootstrap_difference(better, worse)["macro_f1"]

    # that day is in no draw with chance (3/4)^4 = 0.32, and can be in all four
    assert gain.gain == pytest.approx(0.125)
    assert gain.low == 0.0
    assert gain.high > 0.25


def test_both_models_are_scored_on_the_same_drawn_days():
    easy_then_hard = [(10, 0), (1, 9), (10, 0), (1, 9)]
    better = drawn_cells([(right + wrong // 9, wrong - wrong // 9) for right, wrong in easy_then_hard], 0.5)

    gain = block_bootstrap_difference(better, drawn_cells(easy_then_hard, 0.5))["macro_f1"]

    # easy days tie, hard ones are won by one in ten: drawn apart, the luck of the days would drown it
    assert gain.gain == pytest.approx(0.05)
    assert -0.001 < gain.low < gain.high < 0.11


def test_the_seed_decides_the_interval():
    better, worse = drawn_cells([(9, 1), (5, 5), (7, 3)], 0.4), drawn_cells([(6, 4)] * 3, 0.5)

    first, second = (block_bootstrap_difference(better, worse, seed=7)["macro_f1"] for _ in range(2))

    assert first == second
