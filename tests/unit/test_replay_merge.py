"""Files that overlap in time are one stream; wrong times neither hold up a file nor lead the others astray."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from replay_stage import line, write_lines

from producers.input_files import input_files
from producers.merge import MergedLines


def merged(folder: Path, **files: str) -> list[str]:
    """Merge files drawn as `server@time` words (`?` for a time: unreadable) and give the servers in order."""
    for name, words in files.items():
        drawn = (word.partition("@") for word in words.split())
        write_lines(folder / f"{name}.csv", [line(time.replace("T", " "), server) for server, _, time in drawn])
    return [each.key.decode() for each in MergedLines(input_files([str(folder)]))]


def test_lines_of_overlapping_files_come_in_the_order_of_their_times(tmp_path):
    assert merged(
        tmp_path,
        a="a1@06-01T01:00:00 a2@06-01T03:00:00 a3@06-01T05:00:00",
        b="b1@06-01T02:00:00 b2@06-01T04:00:00",
        c="c1@06-01T00:30:00 c2@06-01T06:00:00",
    ) == ["c1", "a1", "b1", "a2", "b2", "a3", "c2"]


def test_equal_times_go_by_path(tmp_path):
    assert merged(
        tmp_path,
        b="b1@06-01T01:00:00 b2@06-01T01:00:00 b3@06-01T02:00:00",
        a="a1@06-01T01:00:00",
        aa="aa1@06-01T02:00:00",
    ) == ["a1", "b1", "b2", "aa1", "b3"]


def test_the_order_within_a_file_is_the_files(tmp_path):
    """a2 is behind a1, so it goes as soon as it is reached; it does not go back before b1."""
    assert merged(
        tmp_path, a="a1@06-01T03:00:00 a2@06-01T01:00:00 a3@06-01T04:00:00", b="b1@06-01T02:00:00 b2@06-01T03:30:00"
    ) == ["b1", "a1", "a2", "b2", "a3"]


def test_a_line_without_a_time_stays_with_the_newest_before_it(tmp_path):
    assert merged(
        tmp_path, a="a1@06-01T01:00:00 a2@? a3@06-01T03:00:00 a4@? a5@?", b="b1@06-01T01:30:00 b2@06-01T04:00:00"
    ) == ["a1", "a2", "b1", "a3", "a4", "a5", "b2"]


def test_first_lines_without_a_time_go_with_the_first_that_has_one(tmp_path):
    assert merged(tmp_path, a="a1@? a2@? a3@06-01T02:00:00", b="b1@06-01T01:00:00") == ["b1", "a1", "a2", "a3"]


def test_a_file_without_any_time_comes_first(tmp_path):
    assert merged(tmp_path, b="b1@? b2@?", a="a1@06-01T01:00:00") == ["b1", "b2", "a1"]


def test_a_year_ahead_of_its_time_does_not_hold_up_its_file(tmp_path):
    assert merged(
        tmp_path,
        a="a1@06-01T01:00:00 a2@2099-06-01T00:00:00 a3@2100-06-01T00:00:00 a4@06-01T02:00:00 a5@06-01T04:00:00",
        b="b1@06-01T01:30:00 b2@06-01T03:00:00",
    ) == ["a1", "a2", "a3", "b1", "a4", "b2", "a5"]


def test_a_file_that_begins_with_a_year_ahead_is_in_its_place_and_a_last_line_waits_for_its_time(tmp_path):
    assert merged(
        tmp_path,
        a="a1@2099-06-01T00:00:00 a2@06-01T02:00:00 a3@2099-06-01T00:00:00",
        b="b1@06-01T01:00:00 b2@06-01T03:00:00",
    ) == ["b1", "a1", "a2", "b2", "a3"]


def test_a_silence_of_weeks_is_believed_when_the_file_goes_on_from_there(tmp_path):
    assert merged(
        tmp_path,
        a="a1@06-01T01:00:00 a2@06-29T01:00:00 a3@06-29T01:05:00",
        b="b1@06-10T01:00:00 b2@06-20T01:00:00 b3@06-30T01:00:00",
    ) == ["a1", "b1", "b2", "a2", "a3", "b3"]


def test_a_file_with_a_single_line_is_believed(tmp_path):
    assert merged(tmp_path, a="a1@06-09T01:00:00", b="b1@06-01T01:00:00", c="c1@06-20T01:00:00") == ["b1", "a1", "c1"]


def test_a_line_long_before_its_file_goes_at_once(tmp_path):
    assert merged(
        tmp_path,
        a="a1@06-01T01:00:00 a2@1970-01-01T00:00:00 a3@06-01T02:00:00 a4@06-01T03:00:00",
        b="b1@06-01T00:30:00 b2@06-01T01:30:00",
    ) == ["b1", "a1", "a2", "b2", "a3", "a4"]


minutes = st.none() | st.integers(0, 23 * 60)


@given(st.lists(st.lists(minutes, max_size=12), min_size=1, max_size=5))
def test_the_stream_is_always_the_oldest_current_line_of_all_files(tmp_path_factory, files):
    """Against the plainest merge there is, with times within a day, so that none is a leap."""
    folder = tmp_path_factory.mktemp("merge")
    queues: list[list[tuple[int, str]]] = []
    for file, drawn in enumerate(files):
        texts = ["?" if minute is None else f"06-01 {minute // 60:02d}:{minute % 60:02d}" for minute in drawn]
        write_lines(folder / f"{file}.csv", [line(text, f"{file}.{n}") for n, text in enumerate(texts)])
        first = next((minute for minute in drawn if minute is not None), -1)
        newest, queue = first, []
        for n, minute in enumerate(drawn):
            newest = newest if minute is None else max(newest, minute)
            queue.append((newest if minute is None else minute, f"{file}.{n}"))
        queues.append(queue)
    expected = []
    while any(queues):
        oldest = min((queue for queue in queues if queue), key=lambda queue: queue[0][0])
        expected.append(oldest.pop(0)[1])
    assert [each.key.decode() for each in MergedLines(input_files([str(folder)]))] == expected
