"""Which lines there are, and what becomes of each: accepted, refused for the first reason that holds, skipped."""

from datetime import UTC, datetime
from itertools import product

import pytest
from event_kernel_cases import RULES, fate, line, line_17, run

from serverload.contracts.errors import SettingsError
from serverload.contracts.lines import REJECT_REASONS
from serverload.steps.event_kernel import EventKernel, LineCounts, LineRules
from serverload.steps.event_kernel.scan import STATUS_OF_REASON

MARK = b"\xef\xbb\xbf"
NOON = datetime(2016, 6, 1, 12, 0, tzinfo=UTC)


def test_both_layouts_give_the_same_window():
    assert run(line()).windows == run(line_17()).windows


@pytest.mark.parametrize("blank", [b"", b"\r", b" ", b" \t\x0b\x0c\r", b"\r\r", MARK, MARK + b" \r"])
def test_a_line_of_ascii_whitespace_is_no_line(blank):
    assert run(line(), blank, line()).counts.read == 2


@pytest.mark.parametrize("text", ["\u00a0", "\u2003", "\u0085", "\x1c", "x", "\ufeff\ufeff"])
def test_other_whitespace_is_a_line_and_has_no_fields(text):
    assert fate(text.encode()) == "columns"


def test_one_trailing_cr_and_a_byte_order_mark_are_dropped():
    assert run(MARK + line() + b"\r").windows == run(line()).windows


def test_a_byte_order_mark_elsewhere_is_a_character():
    assert fate(MARK + MARK + line()) == "session_start"
    assert fate(b" " + MARK + line()) == "session_start"


def test_a_cr_inside_a_line_ends_nothing():
    assert fate(line() + b"\r" + line()) == "columns"
    assert fate(line(ClientIP="a\rb")) == "accepted"


def test_fields_are_trimmed_of_ascii_whitespace_and_of_nothing_else():
    padded = line(
        SessionStart=" \t2016-06-01 00:07:30\x0b", TotalLoad="\x0c2.25 ", ServerIP=" 10.0.0.1\t", ServerType=" 3\r"
    )
    assert run(padded).windows == run(line()).windows
    assert fate(line(TotalLoad="2.25\u00a0")) == "total_load"
    assert fate(line(ServerIP="10.0.0.1\x1f")) == "server_ip"


def test_a_quote_is_a_character_like_any_other():
    assert fate(line(ClientIP='"a,b"')) == "server_ip"  # 17 fields: b" stands where the server should
    assert fate(line(TotalLoad='"2.25"')) == "total_load"


def test_a_last_line_needs_no_line_end():
    kernel = EventKernel(RULES)
    assert kernel.run(line() + b"\n" + line()).windows == kernel.run(line() + b"\n" + line() + b"\n").windows
    assert kernel.run(b"").counts == kernel.run(b"\n").counts == LineCounts()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(ClientIP="é").replace(b"\xa9", b""), "encoding"),
        (b"\xff" + line(), "encoding"),
        (line().replace(b",0.5", b",\xed\xa0\x80"), "encoding"),
        (line().replace(b",0.5", b",\xc0\x80"), "encoding"),
        (line().replace(b",0.5", b",\xf4\x90\x80\x80"), "encoding"),
        (b"2016-06-01 00:07:30", "columns"),
        (line().rpartition(b",")[0], "columns"),
        (line_17() + b",", "columns"),
        (b"," * 47, "columns"),
        (line(SessionStart="SessionStart"), "header"),
        (line(SessionStart="٣"), "header"),
        (line(SessionStart=""), "session_start"),
        (line(SessionStart="column 1"), "session_start"),
        (line(SessionStart="2016-06-31 00:00:00"), "session_start"),
        (line(ServerIP=""), "server_ip"),
        (line(ServerIP="10.0.0.256"), "server_ip"),
        (line(TotalLoad=""), "total_load"),
        (line(TotalLoad="NaN"), "total_load"),
        (line(TotalLoad="-0.000001"), "total_load"),
        (line(TotalLoad="1e400"), "total_load"),
        (line(SessionStart="2016-06-01 13:00:00.000001"), "ahead"),
    ],
)
def test_a_line_is_refused_with_its_reason(bad, reason):
    assert fate(bad) == reason
    assert run(line(), bad, line()).counts.accepted == 2


def test_utf_8_is_told_from_what_only_looks_like_it():
    firsts = b"\x7f\x80\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"
    others = b"\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0"
    texts = [bytes(text) for length in range(4) for text in product(firsts, *[others] * length)]
    fates = run(*(line_17().rpartition(b",")[0] + b"," + text for text in texts)).counts
    valid = sum(text.decode("utf-8", "ignore").encode() == text for text in texts)
    assert (fates.accepted, fates.rejected_by_reason) == (valid, {"encoding": len(texts) - valid})


def test_a_time_exactly_at_the_allowed_minutes_ahead_is_accepted():
    assert fate(line(SessionStart="2016-06-01 13:00:00")) == "accepted"
    assert fate(line(SessionStart="2016-06-01 12:00:01"), max_ahead_minutes=0) == "ahead"


def test_the_accepted_range_includes_its_start_and_not_its_end():
    range_of_times = {
        "earliest": datetime(2016, 6, 1, 0, 0, tzinfo=UTC),
        "latest": datetime(2016, 6, 1, 1, 0, tzinfo=UTC),
    }
    times = ["2016-05-31 23:59:59.999999", "2016-06-01 00:00", "2016-06-01 00:59:59.999999", "2016-06-01 01:00"]
    fates = [fate(line(SessionStart=time), **range_of_times) for time in times]
    assert fates == ["outside", "accepted", "accepted", "outside"]


def test_the_first_reason_that_holds_is_the_one():
    everything = {"ServerIP": "x", "TotalLoad": "x", "SessionStart": "2030-01-01 00:00"}
    rules = {"latest": NOON}
    assert fate(line(**{**everything, "SessionStart": "x"}), **rules) == "header"
    assert fate(line(**{**everything, "SessionStart": "1"}), **rules) == "session_start"
    assert fate(line(**everything), **rules) == "server_ip"
    assert fate(line(**{**everything, "ServerIP": "::1"}), **rules) == "total_load"
    assert fate(line(**{**everything, "ServerIP": "::1", "TotalLoad": "1"}), **rules) == "outside"
    assert fate(line(SessionStart="2030-01-01 00:00")) == "ahead"
    assert fate(b"\xff,x", **rules) == "encoding"


def test_the_scan_knows_the_reasons_in_the_order_of_the_contract():
    assert list(STATUS_OF_REASON) == list(REJECT_REASONS)
    assert sorted(STATUS_OF_REASON.values()) == list(range(4, 12))


def test_lines_of_other_servers_are_skipped_good_or_bad():
    only = {"only_servers": frozenset({"10.0.0.1", "web-1"})}
    assert fate(line(ServerIP=" 10.0.0.1 "), **only) == "accepted"
    assert fate(line(ServerIP="10.0.0.2"), **only) == "skipped"
    assert fate(line(ServerIP="10.0.0.2", SessionStart="x"), **only) == "skipped"
    assert fate(line(ServerIP="", TotalLoad=""), **only) == "skipped"
    assert fate(line(ServerIP="web-1"), **only) == "server_ip"
    assert fate(line(ServerIP="web-2"), **only) == "skipped"


def test_broken_lines_are_refused_before_any_is_skipped():
    only = {"only_servers": frozenset({"10.0.0.9"}), "cutover": datetime(1990, 1, 1, tzinfo=UTC)}
    assert fate(line() + b",,", **only) == "columns"
    assert fate(line() + b"\xff", **only) == "encoding"


@pytest.mark.parametrize(
    ("source", "before", "at"), [("history", "accepted", "skipped"), ("live", "skipped", "accepted")]
)
def test_history_owns_what_is_before_the_cutover_and_live_what_is_after(source, before, at):
    rules = {"source": source, "cutover": datetime(2016, 6, 1, 2, 0, tzinfo=UTC)}
    assert fate(line(SessionStart="2016-06-01 01:59:59.999999"), **rules) == before
    assert fate(line(SessionStart="2016-06-01 02:00:00"), **rules) == at


def test_a_bad_line_on_the_other_side_of_the_cutover_is_skipped_and_one_without_time_is_refused():
    rules = {"source": "live", "cutover": datetime(2016, 6, 1, 2, 0, tzinfo=UTC)}
    assert fate(line(TotalLoad="x", ServerIP="x"), **rules) == "skipped"
    assert fate(line(SessionStart="x"), **rules) == "header"


def test_a_refused_line_keeps_its_text_and_its_offset():
    bad = line(TotalLoad="none")
    rejects = run(line(), MARK + bad + b"\r", line(), b"x\xffy\xc3\xa9").rejects.to_pylist()
    assert rejects == [
        {"line": bad.decode(), "reason": "total_load", "offset": len(line()) + 1},
        {"line": "x\ufffdyé", "reason": "encoding", "offset": 3 * len(line()) + 7},
    ]


def test_a_buffer_of_broken_lines_alone_keeps_them_all():
    rejects = EventKernel(RULES).run(b"x\n" * 150_000).rejects
    assert rejects["offset"].to_pylist() == list(range(0, 300_000, 2))
    assert set(rejects["line"].to_pylist()) == {"x"}


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"a" * 5000, "a" * 4096),
        (b"a" * 4095 + "é".encode() * 9, "a" * 4095),
        (b"a" * 4093 + "\U0001f600".encode(), "a" * 4093),
        (b"a" * 4092 + "\U0001f600".encode(), "a" * 4092 + "\U0001f600"),
        (b"\xff" * 5000, "\ufffd" * 1365),
    ],
)
def test_a_refused_text_is_cut_at_a_character(body, kept):
    assert run(body).rejects["line"].to_pylist() == [kept]


def test_a_server_pattern_replaces_the_rule_of_addresses():
    pattern = {"server_pattern": r"web-\d|"}
    fates = [fate(line(ServerIP=server), **pattern) for server in ("web-1", "web-12", "10.0.0.1", "")]
    assert fates == ["accepted", "server_ip", "server_ip", "accepted"]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"source": "Live"}, "source"),
        ({"cutover": datetime(2016, 6, 1)}, "cutover"),
        ({"server_pattern": "("}, "server_pattern"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused_by_name(wrong, where):
    with pytest.raises(SettingsError, match=f"^{where}: "):
        LineRules(**{"source": "live", "batch_time": NOON, **wrong})
