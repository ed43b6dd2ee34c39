"""The steps of a day: one that fails stops only those that need it."""

import pytest

from batch.daily import Step, StepDone, shortfall, steps_done
from serverload.contracts.errors import StoreError


def done_of(*steps: Step) -> list[StepDone]:
    ticks = iter(range(100))
    return list(steps_done(steps, str, clock=lambda: next(ticks)))


def fails() -> str:
    raise StoreError("in use by process 7")


def test_what_needs_a_failed_step_is_left_out_and_the_rest_is_done():
    found = done_of(
        Step("backfill", fails),
        Step("features", lambda: "up to date"),
        Step("retrain", lambda: "trained", needs=("backfill",)),
        Step("promote", lambda: "promoted", needs=("features", "retrain")),
        Step("compact", lambda: "9 files are 3 now", needs=("features",)),
    )

    assert found == [
        StepDone("backfill", "failed", 1, "in use by process 7"),
        StepDone("features", "ok", 1, "up to date"),
        StepDone("retrain", "left out", 1, "backfill failed"),
        StepDone("promote", "left out", 1, "retrain left out"),
        StepDone("compact", "ok", 1, "9 files are 3 now"),
    ]
    assert shortfall(found) == "backfill failed (in use by process 7)"


def test_a_step_that_is_not_wanted_stops_nobody_and_is_no_failure():
    found = done_of(Step("backfill", fails, without="no paths given"), Step("features", lambda: "", ("backfill",)))
    assert [step.result for step in found] == ["left out", "ok"]
    assert shortfall(found) == ""


def test_an_interrupted_step_ends_the_day():
    def stopped() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        done_of(Step("backfill", stopped), Step("features", lambda: ""))
