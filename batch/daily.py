"""The steps of a day's run, one after the other: a step that fails stops only those that need it."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

OK, FAILED, LEFT_OUT = "ok", "failed", "left out"


@dataclass(frozen=True)
class Step:
    """What is done, told in one line when it is, and the steps without which it is not tried.

    `without` says why it is not wanted at all, which stops no other step.
    """

    name: str
    run: Callable[[], str]
    needs: tuple[str, ...] = ()
    without: str = ""


@dataclass(frozen=True)
class StepDone:
    """How a step ended (OK, FAILED or LEFT_OUT), how long it took, and in one line what came of it."""

    step: str
    result: str
    seconds: float
    what: str


def steps_done(
    steps: Iterable[Step], line_of: Callable[[Exception], str], clock: Callable[[], float] = time.monotonic
) -> Iterator[StepDone]:
    """Run steps in order and tell each as it ends; `line_of` puts a failure into one line."""
    missing = dict[str, str]()
    for step in steps:
        begun = clock()
        if step.without:
            result, what = LEFT_OUT, step.without
        elif lacking := [name for name in step.needs if name in missing]:
            result, what = LEFT_OUT, " and ".join(f"{name} {missing[name]}" for name in lacking)
        else:
            result, what = _tried(step, line_of)
        if result != OK and not step.without:
            missing[step.name] = result
        yield StepDone(step.name, result, round(clock() - begun, 1), what)


def shortfall(done: Iterable[StepDone]) -> str:
    """The steps that failed and why, in one line; empty where none did."""
    return "; ".join(f"{step.step} failed ({step.what})" for step in done if step.result == FAILED)


def _tried(step: Step, line_of: Callable[[Exception], str]) -> tuple[str, str]:
    try:
        return OK, step.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the other steps have their day
        return FAILED, line_of(error)
