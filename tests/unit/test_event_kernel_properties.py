"""What holds for every buffer: the fast path never disagrees with the straightforward answer."""

import json
from datetime import UTC, datetime
from itertools import pairwise

from event_kernel_cases import CLEAN, RULES, comparable, straightforward
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serverload.contracts.lines import FIELDS_16, FIELDS_17, MEASURES
from serverload.steps.event_kernel import EventKernel, LineCounts, LineRules

SAME_EVERY_TIME = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

NUMBERS = st.one_of(
    st.sampled_from(
        ["", "1", "0.5", ".5", "1.", "-1", "+2", "1e3", "1e", "-0", "nan", "1_0", "٣", "x", "1e9", "1e10", "0.0000005"]
    ),
    st.decimals(-10_000, 10_000, places=4).map(str),
    st.floats(-1e10, 1e10).map(repr),
    st.from_regex(r"[+-]?[0-9]{0,20}\.?[0-9]{0,20}([eE][+-]?[0-9]{0,3})?", fullmatch=True),
)
TIMES = st.one_of(
    st.datetimes(datetime(2016, 6, 1), datetime(2016, 6, 1, 1)).map(str),
    st.datetimes(datetime(1969, 12, 31), datetime(2101, 1, 2)).map(lambda time: time.isoformat()),
    st.from_regex(
        r"2016-0[0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]"
        r"(:[0-6][0-9](\.[0-9]{0,10})?)?( ?(Z|[+-][0-2][0-9]:?[0-6][0-9]))?",
        fullmatch=True,
    ),
    st.sampled_from(["", "SessionStart", "1", "2016-06-01"]),
)
SERVERS = st.sampled_from(["10.0.0.1", "10.0.0.2", "::1", "fe80::1%e", "10.0.0.01", "web-1", "", "é", "10.0.0.1 x"])
BLANKS = st.sampled_from(["", "", "", " ", "\t", " \x0b\x0c", "\u00a0"])
RULES_DRAWN = st.builds(
    LineRules,
    source=st.sampled_from(["history", "live"]),
    batch_time=st.just(RULES.batch_time),
    earliest=st.none() | st.just(datetime(2016, 6, 1, 0, 2, tzinfo=UTC)),
    latest=st.none() | st.just(datetime(2016, 6, 1, 0, 50, tzinfo=UTC)),
    only_servers=st.sampled_from([frozenset(), frozenset({"10.0.0.1", "web-1", "é"})]),
    cutover=st.none() | st.just(datetime(2016, 6, 1, 0, 30, tzinfo=UTC)),
    server_pattern=st.sampled_from([None, None, ".*1", "(?s).*"]),
)


@st.composite
def near_lines(draw):
    """A clean line with up to three fields redrawn, as CSV of either layout or as JSON."""
    pools = dict.fromkeys(CLEAN, NUMBERS) | {"SessionStart": TIMES, "ServerIP": SERVERS}
    names = draw(st.lists(st.sampled_from(sorted(CLEAN)), max_size=3, unique=True))
    fields = CLEAN | {name: draw(BLANKS) + draw(pools[name]) + draw(BLANKS) for name in names}
    layout = draw(st.sampled_from([FIELDS_16, FIELDS_16, FIELDS_17, None]))
    if layout is None:
        return json.dumps(fields, ensure_ascii=draw(st.booleans())).encode()
    return ",".join(fields[name] for name in layout).encode()


@st.composite
def broken_lines(draw):
    """A near line with some bytes cut, doubled or replaced."""
    line = bytearray(draw(near_lines()))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=3) | st.sampled_from([b",", b" ", b"\xc3\xa9", b"."])
        )
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + bytes(line) + draw(st.sampled_from([b"", b"\r"]))


BUFFERS = st.lists(broken_lines() | st.sampled_from([b"", b"\r", b"x"]), max_size=12).map(b"\n".join)


@given(buffer=st.binary(max_size=300) | st.lists(st.binary(max_size=40), max_size=20).map(b",".join), rules=RULES_DRAWN)
@settings(max_examples=400, **SAME_EVERY_TIME)
def test_arbitrary_bytes_raise_nothing_and_lose_no_line(buffer, rules):
    result = EventKernel(rules).run(buffer)
    assert comparable(result) == straightforward(buffer, rules)


@given(buffer=BUFFERS, rules=RULES_DRAWN)
@settings(max_examples=1_500, **SAME_EVERY_TIME)
def test_nearly_valid_lines_give_exactly_what_the_reference_gives(buffer, rules):
    result = EventKernel(rules).run(buffer)
    counts = result.counts
    assert comparable(result) == straightforward(buffer, rules)
    assert counts.read == counts.accepted + counts.rejected + counts.skipped
    assert counts.accepted == sum(result.windows["sessions"].to_pylist())


@given(buffer=BUFFERS)
@settings(max_examples=300, **SAME_EVERY_TIME)
def test_no_line_but_json_a_marked_one_or_one_with_a_doubtful_number_takes_the_slow_path(buffer):
    lines = [line for line in buffer.split(b"\n") if not line.startswith((b"{", b"\xef\xbb\xbf"))]
    doubtful = [line for line in lines if _longest_digits(line) > 15]
    assert EventKernel(RULES).run(b"\n".join(lines)).slow_lines <= len(doubtful)


@given(lines=st.lists(broken_lines(), max_size=12), cuts=st.sets(st.integers(0, 12)))
@settings(max_examples=200, **SAME_EVERY_TIME)
def test_a_buffer_cut_at_any_line_ends_gives_the_same_sums(lines, cuts):
    kernel = EventKernel(RULES)
    edges = [0, *sorted(cuts), len(lines)]
    parts = [kernel.run(b"\n".join(lines[first:last])) for first, last in pairwise(edges)]
    whole = kernel.run(b"\n".join(lines))
    assert _added(part.windows for part in parts) == _added([whole.windows])
    assert sum((part.counts for part in parts), LineCounts()) == whole.counts


def _added(tables):
    sums: dict[tuple[object, ...], list[int]] = {}
    for row in (row for table in tables for row in table.to_pylist()):
        added = sums.setdefault((row["server_ip"], row["window_start"]), [0] * 9)
        for place, name in enumerate(("sessions", *MEASURES)):
            added[place] += row[name]
    return sums


def _longest_digits(line: bytes) -> int:
    digits = "".join(chr(byte) if chr(byte) in "0123456789.," else "x" for byte in line).replace(".", "")
    return max(len(run) for run in digits.replace(",", "x").split("x"))
