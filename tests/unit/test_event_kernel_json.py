"""Lines that are one JSON object."""

import json
import sys

import pytest
from event_kernel_cases import CLEAN, RULES, fate, line, only_window, run

from serverload.steps.event_kernel.reference import Event, parse_line


def json_line(**fields: object) -> bytes:
    return json.dumps({**CLEAN, **fields}).encode()


def with_total_load(text: str) -> bytes:
    return json_line(TotalLoad="@").replace(b'"@"', text.encode())


def test_a_json_line_gives_the_same_window_as_a_csv_line():
    numbers = {"ServerType": 3, "TotalLoad": 2.25, "MbytesTransferred": 1.5}
    assert run(json_line()).windows == run(json_line(**numbers)).windows == run(line()).windows


def test_strings_are_trimmed_like_csv_fields_and_other_keys_are_ignored():
    assert (
        run(json_line(TotalLoad=" 2.25\t", ServerIP="\n10.0.0.1 ", Other=[{}], totalload=9)).windows
        == run(line()).windows
    )


def test_numbers_are_read_by_their_text():
    assert only_window(run(with_total_load("1.0000000000000000000000000000001e1")))["total_load"] == 10_000_000
    assert fate(with_total_load("1" + "0" * 5000)) == "total_load"
    assert fate(with_total_load("1e400")) == "total_load"
    assert fate(with_total_load("-0")) == "accepted"
    assert fate(json_line(SessionStart=20160601)) == "session_start"
    assert fate(json_line(ServerIP=167772161)) == "server_ip"


@pytest.mark.parametrize("absent", [None, True, False, [], [1], {}, {"a": 1}, ""])
def test_all_but_strings_and_numbers_is_absent(absent):
    assert fate(json_line(TotalLoad=absent)) == "total_load"
    assert fate(json_line(SessionStart=absent)) == "session_start"
    assert run(json_line(HTTP1=absent, ServerType=absent)).counts.repaired_by_field == {"ServerType": 1}


def test_the_last_of_equal_keys_wins():
    assert only_window(run(b'{"TotalLoad": 1, ' + json_line()[1:]))["total_load"] == 2_250_000
    assert fate(json_line()[:-1] + b', "TotalLoad": null}') == "total_load"


@pytest.mark.parametrize(
    "broken",
    [
        "{", "{}x", "{]", "{'a': 1}", '{"a": 1,}', '{"a" 1}', '{"a": 01}', '{"a": 1.}', '{"a": .5}', '{"a": +1}',
        '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": nan}', '{"a": "\t"}', '{"a": "\\x41"}', '{"a": ٣}',
        '{"a": "\\ud8"}', '{a: 1}', '{"a": 1}\x0b', '{"a": 1} {"b": 2}', '{"a": 1, /* */ "b": 2}', '{"a": "\x00"}',
    ],
)  # fmt: skip
def test_what_is_no_json_by_rfc_8259_has_no_columns(broken):
    assert fate(broken.encode()) == "columns"


def test_an_empty_object_is_a_line_without_a_time():
    assert fate(b"{ \t\r}\t\r") == "session_start"


def test_only_an_object_in_first_place_is_json():
    assert fate(b"{}") == "session_start"
    assert fate(b" {}") == "columns"
    assert fate(b"[{}]") == "columns"
    assert fate(b"\xef\xbb\xbf" + json_line() + b"\r") == "accepted"


@pytest.mark.parametrize("depth", [499, 501, 5_000, 200_000])
def test_deep_nesting_is_refused_at_a_fixed_depth(depth):
    nested = b'{"a": ' + b"[" * depth + b"]" * depth + b", " + json_line()[1:]
    assert fate(nested) == ("accepted" if depth < 500 else "columns")
    assert fate(b'{"a": ' + b"[" * depth) == "columns"
    assert fate(b'{"a": ' * depth) == "columns"


def test_a_deep_stack_of_the_caller_raises_nothing():
    nested = b'{"a": ' + b"[" * 400 + b"]" * 400 + b", " + json_line()[1:]

    def called_from(depth: int) -> object:
        return called_from(depth - 1) if depth else parse_line(nested, RULES)

    assert isinstance(called_from(0), Event)
    assert called_from(sys.getrecursionlimit() - 400) is not None


def test_brackets_inside_strings_are_no_nesting():
    assert fate(json_line(Other='[{"' * 2_000)) == "accepted"
    assert fate(json_line(Other=[[]] * 2_000)) == "accepted"


def test_lone_surrogates_break_nothing():
    escaped = json_line(ServerIP="\ud800")
    assert fate(escaped) == "server_ip"
    assert fate(escaped, server_pattern="(?s).*") == "server_ip"
    assert fate(json_line(SessionStart="\udfff")) == "header"
    assert fate(json_line(TotalLoad="\ud800")) == "total_load"
    assert fate(json_line(ClientIP="\ud800")) == "accepted"
    assert fate(escaped, only_servers=frozenset({"10.0.0.1"})) == "skipped"


def test_a_json_server_may_be_any_text_that_the_pattern_allows():
    window = only_window(run(json_line(ServerIP="é, \U0001f600"), server_pattern=".+"))
    assert window["server_ip"] == "é, \U0001f600"


def test_json_and_csv_lines_add_up_in_the_same_window():
    result = run(line(), json_line(), line(), json_line(ServerIP="::1"))
    assert result.windows["sessions"].to_pylist() == [3, 1]
    assert result.slow_lines == 2
