"""A file cut into ranges gives each of its lines once, at its place, and parts are grouped without loss."""

import gzip
import re
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from serverload.store.byte_ranges import grouped, ranges_of, read_lines, spread

contents = st.lists(st.sampled_from([b"\n", b"a\n", b"bcd\r\n", b"x" * 9 + b"\n", b"\xff\n", b"end"]), max_size=30).map(
    b"".join
)


def lines_with_places(file: bytes) -> list[tuple[int, bytes]]:
    """Each line, its LF included, and the byte it starts at."""
    return [(match.start(), match[0]) for match in re.finditer(rb"[^\n]*\n|[^\n]+", file)]


def read_back(path: Path, range_bytes: int, chunk_bytes: int) -> list[tuple[int, bytes]]:
    found = []
    for part in ranges_of(f"file://{path}", path.stat().st_size, range_bytes):
        for offset, lines in read_lines(part, chunk_bytes):
            found += [(offset + place, line) for place, line in lines_with_places(bytes(lines))]
    return found


@settings(deadline=None)
@given(contents, st.integers(1, 40), st.integers(1, 40))
def test_every_line_is_read_once_at_its_place(file, range_bytes, chunk_bytes):
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "a.csv", Path(folder) / "a.csv.gz"
        plain.write_bytes(file)
        packed.write_bytes(gzip.compress(file))

        assert read_back(plain, range_bytes, chunk_bytes) == lines_with_places(file)
        assert read_back(packed, range_bytes, chunk_bytes) == lines_with_places(file)


@settings(deadline=None)
@given(st.integers(0, 10**12), st.integers(10**9, 10**11))
def test_ranges_are_even_and_cover_the_file(size, range_bytes):
    ranges = ranges_of("file:///a.csv", size, range_bytes)

    assert [part.start for part in ranges] == [0, *(part.end for part in ranges[:-1])][: len(ranges)]
    assert (ranges[-1].end if ranges else 0) == size
    lengths = [part.length(size) for part in ranges]
    assert all(length <= range_bytes for length in lengths)
    assert max(lengths, default=0) - min(lengths, default=0) < max(1, len(ranges))


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 30))
def test_groups_keep_the_order_and_hold_no_more_than_they_may(sizes, most):
    groups = grouped(sizes, lambda size: size, most)

    assert [size for group in groups for size in group] == sizes
    assert all(group and (sum(group) <= most or len(group) == 1) for group in groups)
    for group, following in pairwise(groups):
        assert sum(group) + following[0] > most


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(0, 12))
def test_groups_that_parts_are_spread_over_are_even(sizes, groups):
    filled = spread(sizes, lambda size: size, groups)

    assert [size for group in filled for size in group] == sizes
    assert all(filled)
    assert len(filled) <= max(1, groups)
    largest = max(sizes, default=0)
    assert all(abs(sum(group) - sum(sizes) / max(1, groups)) <= largest for group in filled)
