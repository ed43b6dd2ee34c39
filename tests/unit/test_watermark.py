"""How far event time has come, drawn as the servers' newest events."""

from datetime import UTC, datetime, timedelta

import pytest

from serverload.contracts.instants import hour_number
from serverload.steps.watermark import newest_closed_hour, watermark

NOON = datetime(2016, 6, 1, 12, 0, tzinfo=UTC)


def events(*minutes_after_noon: float) -> list[datetime]:
    return [NOON + timedelta(minutes=minutes) for minutes in minutes_after_noon]


def minutes(mark: datetime | None) -> float:
    assert mark is not None
    return (mark - NOON) / timedelta(minutes=1)


def test_without_servers_there_is_no_watermark_and_no_closed_hour():
    assert watermark([], 10) is None
    assert newest_closed_hour(None) is None


@pytest.mark.parametrize(
    ("last_events", "newest_is_the"),
    [
        (events(5), 5),
        (events(5, 3), 5),
        (events(5, 3, 1), 3),
        (events(1, 5, 3), 3),
        (events(5, 5, 1), 5),
        (events(*range(20)), 18),
        (events(*range(40)), 38),
        (events(*range(41)), 38),
        (events(*range(60)), 57),
        (events(*range(61)), 57),
    ],
    ids=["1 of 1", "1 of 2", "2 of 3", "any order", "equal", "2 of 20", "2 of 40", "3 of 41", "3 of 60", "4 of 61"],
)
def test_the_watermark_is_the_kth_newest_server(last_events, newest_is_the):
    assert minutes(watermark(last_events, 0)) == newest_is_the


def test_the_allowed_lateness_is_taken_off():
    assert minutes(watermark(events(5, 3, 1), 10)) == -7


def test_one_clock_days_ahead_does_not_move_it():
    five_days = 5 * 24 * 60
    assert minutes(watermark(events(five_days, 3, 2, 1), 0)) == 3


def test_one_clock_years_ahead_does_not_make_the_others_look_dead():
    years = 20 * 365 * 24 * 60
    fleet = events(years, *range(100, 0, -1))
    assert minutes(watermark(fleet, 0)) == 96  # 101 vote: the 6th newest, the broken clock being the 1st


def test_two_servers_cannot_outvote_a_clock_ahead():
    assert minutes(watermark(events(600, 3), 0)) == 600


def test_dead_servers_do_not_vote():
    week = 168 * 60
    alive, dead = [5, 4, 3], [4 - week - 1] * 57
    assert minutes(watermark(events(*alive, *dead), 0)) == 4  # 3 vote, with 60 it would be the 3rd: 3


def test_a_server_exactly_168_hours_behind_the_second_newest_still_votes():
    week = 168 * 60
    assert minutes(watermark(events(5, 4, *[4 - week] * 58), 0)) == 4 - week  # 60 vote: the 3rd newest
    assert minutes(watermark(events(5, 4, *[4 - week - 1] * 58), 0)) == 5  # 2 vote: the newest


@pytest.mark.parametrize(
    ("mark", "closed"),
    [
        (datetime(2016, 6, 1, 12, 59, 59, 999999, UTC), datetime(2016, 6, 1, 11, tzinfo=UTC)),
        (datetime(2016, 6, 1, 13, 0, tzinfo=UTC), datetime(2016, 6, 1, 12, tzinfo=UTC)),
        (datetime(2016, 1, 1, 0, 0, tzinfo=UTC), datetime(2015, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_an_hour_is_closed_once_the_watermark_has_reached_its_end(mark, closed):
    assert newest_closed_hour(mark) == hour_number(closed)


def test_a_time_without_zone_is_refused_rather_than_guessed():
    with pytest.raises(TypeError):
        newest_closed_hour(datetime(2016, 6, 1, 12))
