"""The pace: event time against the clock, to the second; nothing can stall it."""

import threading
import time

import pytest
from replay_stage import ManualClock, MemoryTopic, RecordingSender, line, replayed, write_lines

from producers.pace import Pace, WallClock
from serverload.contracts.errors import InputError

SECOND = 1_000_000
HOUR = 3600 * SECOND


def pauses(speed, *event_times, sending_seconds=0.0):
    """The pauses before lines of these event times, when each line takes so long to send."""
    clock = ManualClock()
    pace = Pace(clock, speed)
    asked = []
    for event_time in event_times:
        asked.append(pause := pace.pause_seconds(event_time))
        clock.sleep(pause)
        clock.seconds += sending_seconds
    return asked


def test_an_hour_of_events_takes_a_second_at_speed_3600():
    assert pauses(3600, 0, HOUR, 3 * HOUR) == [0, 1, 2]


def test_the_time_that_sending_takes_is_no_pause_and_what_is_lost_is_caught_up():
    assert pauses(3600, 0, HOUR, 2 * HOUR, sending_seconds=0.25) == [0, 0.75, 0.75]
    assert pauses(3600, 0, HOUR, 2 * HOUR, 10 * HOUR, sending_seconds=2) == [0, 0, 0, 4]


def test_lines_behind_the_newest_go_at_once_and_do_not_turn_the_time_back():
    assert pauses(1, 10 * SECOND, 13 * SECOND, 11 * SECOND, 12 * SECOND, 14 * SECOND) == [0, 3, 0, 0, 1]


def test_a_line_from_long_ago_does_not_make_the_next_one_look_like_the_end_of_a_silence():
    day = 24 * HOUR
    assert pauses(1, 10 * day, 0, 10 * day + HOUR) == [0, 0, 3600]


def test_without_a_speed_there_is_no_pause():
    assert pauses(None, 0, HOUR, 1000 * HOUR) == [0, 0, 0]


def test_a_long_silence_is_waited_for_where_that_takes_minutes_and_jumped_where_it_takes_longer():
    assert pauses(3600, 0, 7 * 24 * HOUR) == [0, 168]
    assert pauses(1, 0, 20 * HOUR) == [0, 72_000]
    assert pauses(3600, 0, 60 * 24 * HOUR, 60 * 24 * HOUR + HOUR) == [0, 0, 1]


def test_a_year_1970_at_the_start_is_no_reason_to_wait():
    assert pauses(3600, 5 * SECOND, 1_464_739_200 * SECOND, 1_464_742_800 * SECOND) == [0, 0, 1]


def test_lines_before_any_time_are_sent_without_beginning_the_pace():
    assert pauses(1, -1, -1, 1_464_739_200 * SECOND, 1_464_739_203 * SECOND) == [0, 0, 0, 3]


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(InputError, match="expected a speed above 0"):
        Pace(ManualClock(), speed)


def test_a_replay_sleeps_between_lines_as_the_speed_says(tmp_path):
    lines = [line(f"06-01 {time}") for time in ("00:00:00", "00:30:00", "00:10:00", "SessionStart", "03:00:00")]
    clock = ManualClock()
    path = write_lines(tmp_path / "a.csv", [*lines, line("2099-01-01 00:00:00"), line("06-01 04:00:00")])
    result = replayed(tmp_path / "home", path, sender=RecordingSender(MemoryTopic()), speed=3600.0, clock=clock)
    assert result.finished
    assert clock.slept == [0.5, 2.5, 1.0]


def test_all_is_on_its_way_and_written_down_before_a_long_sleep(tmp_path):
    topic = MemoryTopic()

    class Watching(ManualClock):
        def sleep(self, seconds):
            arrived.append(len(topic.texts))
            super().sleep(seconds)

    arrived: list[int] = []
    path = write_lines(tmp_path / "a.csv", [line("06-01 00:00:00"), line("06-01 01:00:00"), line("06-01 01:00:00.5")])
    replayed(tmp_path / "home", path, sender=RecordingSender(topic), speed=1.0, clock=Watching())
    assert arrived == [1, 2]


def test_the_wall_clock_wakes_up_when_it_is_stopped():
    stop = threading.Event()
    clock = WallClock(stop)
    begun = clock.now()
    clock.sleep(0.01)
    assert clock.now() - begun >= 0.01
    threading.Timer(0.05, stop.set).start()
    begun = time.monotonic()
    clock.sleep(60)
    assert time.monotonic() - begun < 10
