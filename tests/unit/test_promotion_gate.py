"""What the promotion gate lets through, and what not; every number is typed by hand."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batch.promotion_gate import Check, Judgement, Standing, checks_of, shortfalls
from serverload.contracts.promotion_settings import PromotionSettings
from serverload.model.evaluation import Gain, Scores

BOUNDS = PromotionSettings(least_days=7, max_rps_loss=0.001, max_macro_f1_loss=0.005, max_high_recall_loss=0.02)
CLEAR = Gain(0.03, 0.02, 0.04)


def standing(rps: float = 0.08, macro_f1: float = 0.9, high_recall: float = 0.8, **gains: Gain) -> Standing:
    scores = Scores(
        rows=100, macro_f1=macro_f1, weighted_f1=0.9, accuracy=0.9, log_loss=0.3, rps=rps, precision=(0.9, 0.9, 0.9),
        recall=(0.9, 0.9, high_recall), confusion=((30, 0, 0), (0, 30, 0), (0, 0, 40)),
    )  # fmt: skip
    return Standing(scores, {"majority": CLEAR, "climatology": CLEAR} | gains, {48: rps})


def judgement(challenger: Standing, champion: Standing | None, over_champion: Gain | None) -> Judgement:
    span = (datetime(2016, 6, 6, tzinfo=UTC), datetime(2016, 6, 20, tzinfo=UTC))
    return Judgement(14, 100, *span, challenger, champion, over_champion)


BETTER = judgement(standing(rps=0.08), standing(rps=0.082), Gain(0.002, 0.001, 0.003))


def failed(found: Judgement) -> list[str]:
    return [each.check for each in checks_of(found, BOUNDS) if not each.ok]


def test_a_challenger_that_is_better_in_everything_passes_every_check():
    assert checks_of(BETTER, BOUNDS) == (
        Check("days that neither has seen", "14", "", ">= 7", True),
        Check("gain in RPS over majority", *["+0.0300 (+0.0200 .. +0.0400)"] * 2, "low end > 0", True),
        Check("gain in RPS over climatology", *["+0.0300 (+0.0200 .. +0.0400)"] * 2, "low end > 0", True),
        Check("RPS", "0.0800", "0.0820", "lower than the champion's", True),
        Check("gain in RPS over the champion", "+0.0020 (+0.0010 .. +0.0030)", "", "low end > -0.001", True),
        Check("macro-F1", "0.9000", "0.9000", ">= 0.8950", True),
        Check("recall of high", "0.8000", "0.8000", ">= 0.7800", True),
    )
    assert shortfalls(checks_of(BETTER, BOUNDS)) == ""


def test_too_few_days_are_the_one_check_that_is_made():
    (check,) = checks_of(Judgement(6, 100, BETTER.start, BETTER.end), BOUNDS)

    assert check == Check("days that neither has seen", "6", "", ">= 7", False)
    assert shortfalls([check]) == "days that neither has seen 6, asked: >= 7"


def test_a_gain_over_a_baseline_whose_interval_holds_nothing_is_not_enough():
    barely = standing(climatology=Gain(0.002, 0.0, 0.005))

    assert failed(replace(BETTER, challenger=barely)) == ["gain in RPS over climatology"]
    assert failed(replace(BETTER, challenger=standing(climatology=Gain(0.002, 0.0001, 0.005)))) == []
    # the champion may be as bad as it likes
    assert failed(replace(BETTER, champion=barely)) == []


@pytest.mark.parametrize(
    ("gain", "missed"),
    [
        (Gain(0.0001, -0.0009, 0.001), []),
        (Gain(0.0001, -0.001, 0.001), ["gain in RPS over the champion"]),
        (Gain(0.0, 0.0, 0.0), ["RPS"]),
        (Gain(3e-17, -2e-17, 6e-17), ["RPS"]),
        (Gain(-0.002, -0.003, -0.001), ["RPS", "gain in RPS over the champion"]),
    ],
)
def test_the_gain_over_the_champion_is_above_nothing_and_hardly_ever_a_loss(gain, missed):
    assert failed(replace(BETTER, over_champion=gain)) == missed


@pytest.mark.parametrize(("macro_f1", "ok"), [(0.895, True), (0.8949, False)])
def test_macro_f1_may_be_lower_by_the_bound_and_no_more(macro_f1, ok):
    assert (failed(replace(BETTER, challenger=standing(macro_f1=macro_f1))) == []) is ok


@pytest.mark.parametrize(("recall", "ok"), [(0.78, True), (0.7799, False)])
def test_recall_of_high_may_be_lower_by_the_bound_and_no_more(recall, ok):
    assert (failed(replace(BETTER, challenger=standing(high_recall=recall))) == []) is ok


def test_days_without_a_high_hour_tell_nothing_of_its_recall():
    quiet = standing(high_recall=float("nan"))

    found = replace(BETTER, challenger=quiet, champion=quiet)

    assert failed(found) == []
    assert checks_of(found, BOUNDS)[-1] == Check("recall of high", "nan", "nan", "no such hour came", True)


def test_without_a_champion_the_baselines_alone_are_to_be_beaten():
    first = replace(BETTER, champion=None, over_champion=None)

    assert [(each.check, each.champion) for each in checks_of(first, BOUNDS)] == [
        ("days that neither has seen", ""), ("gain in RPS over majority", ""), ("gain in RPS over climatology", ""),
    ]  # fmt: skip
    assert failed(replace(first, challenger=standing(majority=Gain(-0.1, -0.2, 0.1)))) == ["gain in RPS over majority"]


def test_all_that_does_not_hold_is_one_line():
    worse = judgement(standing(rps=0.09, macro_f1=0.8), standing(), Gain(-0.01, -0.02, 0.0))

    line = shortfalls(checks_of(worse, BOUNDS))

    assert line == (
        "RPS 0.0900, asked: lower than the champion's; "
        "gain in RPS over the champion -0.0100 (-0.0200 .. +0.0000), asked: low end > -0.001; "
        "macro-F1 0.8000, asked: >= 0.8950"
    )
