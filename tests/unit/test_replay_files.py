"""The files of a replay: which they are, and every line of theirs, whatever their ends, sizes and packing."""

import gzip
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_stage import MemoryTopic, RecordingSender, line, replayed, write_lines

from producers.input_files import CHUNK_BYTES, MAX_LINE_BYTES, FileLines, InputFile, input_files
from producers.merge import MergedLines
from serverload.contracts.errors import InputError


def lines_of(path: Path) -> list[tuple[int, bytes]]:
    return list(FileLines(InputFile(path, path.stat().st_size)))


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_folders_globs_and_files_give_each_file_once_in_order(tmp_path):
    for name in ("b.csv", "a/x.csv.gz", "a/deep/y.gz", "a/z.csv", "truth.parquet", "a/notes.txt"):
        write_lines(tmp_path / name, [b"x"])
    (tmp_path / "again.csv").symlink_to(tmp_path / "b.csv")
    everything = [str(tmp_path / name) for name in ("a/deep/y.gz", "a/x.csv.gz", "a/z.csv", "b.csv")]
    assert [str(file.path) for file in input_files([str(tmp_path)])] == everything
    assert [str(file.path) for file in input_files([f"{tmp_path}/**/*", str(tmp_path / "b.csv")])] == everything
    assert [str(file.path) for file in input_files([f"{tmp_path}/*"])] == everything
    assert [file.path.name for file in input_files([f"{tmp_path}/a/*.csv"])] == ["z.csv"]
    assert [file.path.name for file in input_files([str(tmp_path / "a/notes.txt")])] == ["notes.txt"]


@pytest.mark.parametrize("path", ["absent.csv", "absent/*.csv", "empty"])
def test_a_path_without_files_is_named(tmp_path, path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{path.replace('*', '.')}: no files there; give folders, globs or files"):
        input_files([str(tmp_path / path)])


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_lines_come_with_their_offsets_and_every_byte_but_the_lf(tmp_path, name):
    text = b"one\r\n\n two \n\xff\xfe\r\r\n \t\x0b\x0c\r\n\xef\xbb\xbf\n\xc2\xa0\nlast"
    path = write_lines(tmp_path / name, [text], end=b"")
    assert lines_of(path) == [(0, b"one\r"), (6, b" two "), (12, b"\xff\xfe\r\r"), (27, b"\xc2\xa0"), (30, b"last")]


@given(
    st.lists(
        st.binary(max_size=30).filter(lambda raw: b"\n" not in raw) | st.just(b"x" * (CHUNK_BYTES - 3)), max_size=8
    ),
    st.booleans(),
    st.integers(1, 3),
)
def test_any_lines_come_through_plain_and_packed_in_any_number_of_members(tmp_path_factory, lines, ended, members):
    folder = tmp_path_factory.mktemp("any")
    text = b"\n".join(lines) + (b"\n" if ended else b"")
    (folder / "a.csv").write_bytes(text)
    cut = [len(text) * k // members for k in range(members + 1)]
    packed = b"".join(gzip.compress(text[a:b]) for a, b in pairwise(cut))
    (folder / "a.csv.gz").write_bytes(packed + b"\0" * 20)
    expected = [each for each in text.split(b"\n") if each.removeprefix(b"\xef\xbb\xbf").strip()]
    assert [each for _, each in lines_of(folder / "a.csv")] == expected
    assert lines_of(folder / "a.csv.gz") == lines_of(folder / "a.csv")


def test_files_that_cannot_be_read_through_are_named(tmp_path):
    whole = gzip.compress(b"x,y\n" * 1000)
    broken = {
        "cut.gz": (whole[:-9], "is cut off"),
        "plain.gz": (b"no gzip at all\n", "is no gzip file"),
        "long.csv": (b"x" * (MAX_LINE_BYTES + CHUNK_BYTES + 1), "the line at byte 0 is longer than 8388608 bytes"),
    }
    for name, (content, complaint) in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: {complaint}"):
            lines_of(tmp_path / name)
    with pytest.raises(InputError, match="has shrunk to 4 bytes"):
        list(FileLines(InputFile(write_lines(tmp_path / "short.csv", [b"abc"]), 100)))


def test_what_is_appended_after_the_start_is_left_for_another_replay(tmp_path):
    path = write_lines(tmp_path / "a.csv", [b"one"])
    known = input_files([str(path)])[0]
    path.write_bytes(b"one\ntwo\n")
    assert [each for _, each in FileLines(known)] == [b"one"]


def test_a_file_that_unpacks_to_much_more_stays_small_in_memory(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress((line("06-01 00:00:00") + b"\n") * 100_000, 1))
    tracemalloc.start()
    try:
        assert sum(1 for _ in FileLines(InputFile(path, path.stat().st_size))) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_a_thousand_overlapping_files_need_no_thousand_open_ones(tmp_path):
    for index in range(1000):
        write_lines(tmp_path / f"{index}.csv{'.gz' * (index % 2)}", [line("06-01 00:00:00"), line("06-01 00:00:09")])
    before = open_files()
    merged = iter(MergedLines(input_files([str(tmp_path)])))
    opened = [open_files() - before for _ in merged]
    assert len(opened) == 2000
    assert max(opened) <= 2


def test_progress_is_told_in_bytes_on_disk_up_to_the_last(tmp_path):
    write_lines(tmp_path / "a.csv", [line("06-01 00:00:00")] * 3000)
    write_lines(tmp_path / "b.csv.gz", [line("06-01 00:00:01")] * 3000)
    files = input_files([str(tmp_path)])
    merged = MergedLines(files)
    seen = [merged.bytes_read for _ in merged]
    assert seen == sorted(seen)
    assert merged.bytes_read == sum(file.size for file in files)


def test_messages_are_the_exact_bytes_of_every_line_that_is_not_blank(tmp_path):
    lines = [
        line("06-01 00:00:00") + b"\r",
        b"\xff\xfebroken,",
        b"SessionStart,IPs",
        line("06-01 00:00:01", "10.0.0.2"),
    ]
    path = write_lines(tmp_path / "a.csv", [lines[0], b"", *lines[1:3], b" \r", lines[3]])
    topic = MemoryTopic()
    result = replayed(tmp_path / "home", path, sender=RecordingSender(topic))
    assert (result.sent, result.finished) == (4, True)
    assert sorted(topic.texts) == sorted(lines)
    keys = {message.text: message.key for log in topic.logs for message in log}
    assert keys == dict(zip(lines, [b"10.0.0.1", None, None, b"10.0.0.2"], strict=True))
