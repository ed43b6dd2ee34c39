"""What a replay reads of raw lines: the key and the time, for any bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_stage import line

from producers.line_facts import event_time_and_key, is_blank, time_micros
from producers.topics import partition_of
from serverload.steps.event_kernel import fields as ingest

HOUR = 3_600_000_000
JUNE = 1_464_739_200_000_000


def older(server: bytes, client: bytes = b"10.9.9.9", start: bytes = b"2016-06-01 01:00:00") -> bytes:
    return b",".join([b"web", start, *[b"1"] * 13, server, client])


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (line("06-01 01:00:00", "10.0.0.7"), b"10.0.0.7"),
        (line("06-01 01:00:00", " \t10.0.0.7\r"), b"10.0.0.7"),
        (line("06-01 01:00:00", "IPs"), b"IPs"),
        (line("06-01 01:00:00", ""), None),
        (line("06-01 01:00:00", "  \r"), None),
        (older(b"10.0.0.8", b"10.9.9.9\r"), b"10.0.0.8"),
        (line("06-01 01:00:00", "x").replace(b"x", b"10.\xff.0.1"), b"10.\xff.0.1"),
        (b"\xef\xbb\xbf" + line("06-01 01:00:00", "10.0.0.7"), b"10.0.0.7"),
        (line("06-01 01:00:00", "10.0.0.7") + b",1,2", None),
        (b"one,two", None),
        (b"\xff\xfe", None),
        (b'{"ServerIP": " 10.0.0.9 ", "SessionStart": "2016-06-01 01:00:00"}', b"10.0.0.9"),
        (b'\xef\xbb\xbf{"ServerIP": "10.0.0.9"}', b"10.0.0.9"),
        (b'{"ServerIP": "10.0.0.1", "ServerIP": "10.0.0.2"}', b"10.0.0.2"),
        (b'{"ServerIP": 12.50}', b"12.50"),
        (b'{"ServerIP": null}', None),
        (b'{"ServerIP": ["10.0.0.1"]}', None),
        (b'{"ServerIP": "10.0.0.9"', None),
        (b'{"ServerIP": "10.0.0.9", "x": NaN}', None),
        (b'{"ServerIP": "\\ud800"}', b"?"),
        (b"{" * 100_000, None),
        (b'{"a":' * 100_000, None),
    ],
)
def test_the_key_is_the_server_field_of_the_lines_layout(raw, key):
    assert event_time_and_key(raw)[1] == key


@pytest.mark.parametrize(
    ("raw", "time"),
    [
        (line("06-01 01:00:00"), JUNE + HOUR),
        (line(" 2016-06-01T01:00:00.5Z "), JUNE + HOUR + 500_000),
        (line("2016-06-01 03:00 +02:00"), JUNE + HOUR),
        (older(b"10.0.0.8"), JUNE + HOUR),
        (b"\xef\xbb\xbf" + line("06-01 01:00:00"), JUNE + HOUR),
        (b'{"SessionStart": "2016-06-01 01:00:00"}', JUNE + HOUR),
        (b'{"SessionStart": 2016}', None),
        (line("SessionStart"), None),
        (line(""), None),
        (line("06-31 01:00:00"), None),
        (line("06-01 01:00:60"), None),
        (line("06-01 01:00:0x"), None),
        (line("06-01 01:00:00") + b",1,2", None),
    ],
)
def test_the_time_is_the_session_start_of_the_lines_layout(raw, time):
    assert event_time_and_key(raw)[0] == time


near_times = st.from_regex(
    r"(19[67]\d|20\d\d|210\d)-(0\d|1[0-3])-[0-3]\d[ T][0-2]\d:[0-6]\d"
    r"(:[0-6]\d(\.\d{1,10})?)?( ?(Z|[+-][01]\d:?[0-6]\d))?",
    fullmatch=True,
).filter(str.isascii)


@given(near_times | st.text(alphabet="0123456789-: TZ+.", max_size=30))
def test_times_are_read_exactly_as_the_ingest_reads_them(text):
    assert time_micros(text.encode()) == ingest.time_micros(text)


@pytest.mark.parametrize("raw", [b"", b" ", b"\t\x0b\x0c\r", b"\xef\xbb\xbf", b"\xef\xbb\xbf \r"])
def test_lines_of_ascii_whitespace_are_blank(raw):
    assert is_blank(raw)


@pytest.mark.parametrize("raw", [b",", b"\xc2\xa0", b"\x00", b"\xff", b"\x1c"])
def test_other_lines_are_not_blank(raw):
    assert not is_blank(raw)


@given(st.binary(max_size=200))
def test_no_bytes_raise(raw):
    time, key = event_time_and_key(raw)
    assert time is None or time >= 0
    assert key is None or key.strip() == key != b""


def test_a_key_goes_where_kafkas_own_clients_send_it_and_keyless_lines_go_round():
    """Murmur2 values as in Kafka's own UtilsTest: `21` is -973932308, `foobar` -790332482."""
    assert partition_of(b"21", 5, 1000) == (-973932308 & 0x7FFFFFFF) % 1000
    assert partition_of(b"foobar", 6, 1000) == (-790332482 & 0x7FFFFFFF) % 1000
    assert [partition_of(None, sequence, 3) for sequence in range(5)] == [0, 1, 2, 0, 1]


def test_json_text_is_the_reference_for_keys_with_escapes():
    raw = json.dumps({"ServerIP": "10.0.0.é"}).encode()
    assert event_time_and_key(raw)[1] == "10.0.0.é".encode()
