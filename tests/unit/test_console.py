"""Plain progress where there is no terminal: enough to see it live, never a flood."""

import pytest

from serverload.cli.console import Lines


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_share_is_told_at_most_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(clock)
    lines.step("ingest batch 0: 2 files", 1000, "B")
    for _ in range(100):
        clock.now += 0.3
        lines.advance(10)
    assert capsys.readouterr().err.splitlines() == [
        "ingest batch 0: 2 files (1,000 B)",
        "ingest batch 0: 2 files: 34%",
        "ingest batch 0: 2 files: 68%",
    ]


def test_a_stream_that_goes_round_is_told_once_in_ten_minutes(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(clock)
    for _ in range(100):
        lines.step("advance")
        lines.step("waiting for messages")
        clock.now += 10
    assert capsys.readouterr().err.splitlines() == ["advance", "waiting for messages"] * 2


def test_nothing_goes_to_stdout(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(clock)
    lines.step("read", 10, "B")
    lines.say("worth knowing")
    assert capsys.readouterr().out == ""


def test_the_share_of_a_step_is_told_anew_when_it_comes_back(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(clock)
    for _ in range(2):
        lines.step("replay", 100, "B")
        clock.now += 601
        lines.advance(50)
    assert capsys.readouterr().err.splitlines() == ["replay (100 B)", "replay: 50%"] * 2
