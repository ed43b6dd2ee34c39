"""What tuning tries, and the folds of time it tries it on."""

from datetime import UTC, datetime

import pytest

from batch.train_range import parsed_range
from batch.tuning import SPACE, TuningBounds, drawn_trials, time_folds
from serverload.contracts.errors import InputError
from serverload.contracts.settings import load_settings

JUNE = datetime(2016, 6, 1, tzinfo=UTC)


def test_folds_lie_one_after_another_at_the_end():
    days = [(fold.start.day, fold.end.day) for fold in time_folds(datetime(2016, 6, 22, tzinfo=UTC), 7)]

    assert days == [(1, 8), (8, 15), (15, 22)]


def test_the_first_trial_is_what_was_set_and_none_comes_twice():
    given = load_settings("local").model
    trials = [tuple(getattr(trial, name) for name in SPACE) for trial in drawn_trials(given, TuningBounds(500))]

    assert trials[0] == (
        given.trees,
        given.depth,
        given.min_rows_per_leaf,
        given.feature_subset,
        given.calendar_position,
    )
    assert len(trials) == len(set(trials)) == 3 * 4 * 4 * 2 * 2 + 1  # `auto` is none of the calendar's two


def test_trials_are_drawn_by_the_seed():
    given = load_settings("local").model

    assert list(drawn_trials(given, TuningBounds(5))) == list(drawn_trials(given, TuningBounds(5)))
    assert list(drawn_trials(given, TuningBounds(5))) != list(
        drawn_trials(given.model_copy(update={"seed": 7}), TuningBounds(5))
    )


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2016-06-01:2016-07-01", JUNE, datetime(2016, 7, 1, tzinfo=UTC)),
        ("2016-06-01T00:00:", JUNE, None),
        (":2016-06-01", None, JUNE),
        ("2016-05-31T12:30:2016-06-01", datetime(2016, 5, 31, 12, 30, tzinfo=UTC), JUNE),
    ],
)
def test_a_range_is_two_times_with_a_colon_between(text, first, last):
    assert parsed_range(text) == (first, last)


@pytest.mark.parametrize("text", ["june", "2016-06-01", "2016-06-02:2016-06-01", "a:b"])
def test_what_is_no_range_is_one_line(text):
    with pytest.raises(InputError, match=r"^--range: "):
        parsed_range(text)
