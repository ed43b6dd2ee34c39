"""The grammar of times, numbers and servers: every form, and the near misses, on both paths."""

from datetime import UTC, datetime, timedelta

import pytest
from event_kernel_cases import fate, line, only_window, run

FAR = {"batch_time": datetime(2101, 1, 1, tzinfo=UTC)}


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2016-06-01 00:07", utc(2016, 6, 1, 0, 7)),
        ("2016-06-01T00:07", utc(2016, 6, 1, 0, 7)),
        ("2016-06-01T23:59:59", utc(2016, 6, 1, 23, 59, 59)),
        ("2016-06-01 00:07:30.5", utc(2016, 6, 1, 0, 7, 30, 500_000)),
        ("2016-06-01 00:07:30.123456", utc(2016, 6, 1, 0, 7, 30, 123_456)),
        ("2016-06-01 00:07:30.123456999", utc(2016, 6, 1, 0, 7, 30, 123_456)),
        ("2016-06-01 00:07:30.0000009", utc(2016, 6, 1, 0, 7, 30)),
        ("2016-06-01 00:07Z", utc(2016, 6, 1, 0, 7)),
        ("2016-06-01 00:07:30.5 Z", utc(2016, 6, 1, 0, 7, 30, 500_000)),
        ("2016-06-01 00:07:30+05:30", utc(2016, 5, 31, 18, 37, 30)),
        ("2016-06-01 00:07:30 +0530", utc(2016, 5, 31, 18, 37, 30)),
        ("2016-06-01T00:07-18:00", utc(2016, 6, 1, 18, 7)),
        ("2016-06-01 00:07 -0000", utc(2016, 6, 1, 0, 7)),
        ("2016-02-29 00:00", utc(2016, 2, 29)),
        ("2000-02-29 00:00", utc(2000, 2, 29)),
        ("1970-01-01 00:00", utc(1970, 1, 1)),
        ("1969-12-31 23:30-01:00", utc(1970, 1, 1, 0, 30)),
        ("2100-12-31 23:59:59.999999", utc(2100, 12, 31, 23, 59, 59, 999_999)),
        ("2101-01-01 00:59+01:00", utc(2100, 12, 31, 23, 59)),
    ],
)
def test_a_time_is_read(text, time):
    result = run(line(SessionStart=text), **FAR)
    assert only_window(result)["last_event"] == time
    assert result.slow_lines == 0


@pytest.mark.parametrize(
    "text",
    [
        "2016-06-01", "2016-06-01 00", "2016-06-01 0:07", "2016-6-1 00:07", "16-06-01 00:07:00", "2016/06/01 00:07",
        "2016-06-01  00:07", "2016-06-01t00:07", "2016-06-01_00:07", "2016-06-01 00:07:", "2016-06-01 00:07:3",
        "2016-06-01 00:07:30.", "2016-06-01 00:07:30.1234567890", "2016-06-01 00:07:30,5", "2016-06-01 00:07.5",
        "2016-06-01 24:00", "2016-06-01 23:60", "2016-06-01 23:59:60", "2016-00-01 00:00", "2016-13-01 00:00",
        "2016-06-00 00:00", "2016-06-31 00:00", "2015-02-29 00:00", "2100-02-29 00:00", "0000-01-01 00:00",
        "2016-06-01 00:07z", "2016-06-01 00:07  Z", "2016-06-01 00:07\tZ", "2016-06-01 00:07ZZ", "2016-06-01 00:07 UTC",
        "2016-06-01 00:07+5", "2016-06-01 00:07+05", "2016-06-01 00:07+5:30", "2016-06-01 00:07+05:60",
        "2016-06-01 00:07+18:01", "2016-06-01 00:07+1900", "2016-06-01 00:07+05:3", "2016-06-01 00:07+053",
        "2016-06-01 00:07+05-30", "2016-06-01 00:07+ 0530", "2016-06-01 00:07 05:30", "2016-06-01 00:07+",
        "1969-12-31 23:59:59.999999", "1970-01-01 00:59+01:00", "2101-01-01 00:00", "2100-12-31 23:59-00:01",
        "30xx-06-01 00:07", "xx30-06-01 00:07", "2x16-06-01 00:07", "201x-06-01 00:07",
        "2016-x6-01 00:07", "2016-06-x1 00:07", "2016-06-01 x0:07", "2016-06-01 00:x7", "2016-06-01 00:07:x0",
        "-016-06-01 00:07", "+2016-06-01 00:07", "2016-06-01 00:0٣", "٢016-06-01 00:07", "2016-06-01 00:07\x00",
        "1464739200", "2016-06-01 00:07:30 AM",
    ],
)  # fmt: skip
def test_a_near_miss_is_no_time(text):
    assert fate(line(SessionStart=text), **FAR) == "session_start"


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0), ("7", 7_000_000), ("007", 7_000_000), ("+7", 7_000_000), ("-7", -7_000_000), ("1.5", 1_500_000),
        (".5", 500_000), ("-.5", -500_000), ("-0", 0), ("1e3", 1_000_000_000), ("1E+3", 1_000_000_000),
        ("1.5e-3", 1_500), ("0.0000005", 0), ("0.0000015", 2), ("0.0000025", 2),
        ("-0.0000015", -2), ("0.00000050000000000000001", 0), ("0.0000005000000000000002", 1),
        ("2.0000005", 2_000_000), ("2.0000015", 2_000_002), ("2.0000035", 2_000_004), ("0.1234565", 123_456),
        ("1000000000", 10**15), ("-1e9", -(10**15)), ("1000000000.00000001", 10**15), ("999999999.9999999", 10**15),
        ("999999999.9999994", 999_999_999_999_999), ("123456789.12345678901234567890", 123_456_789_123_457),
        ("0.000000000000000000000000000001", 0), ("1e-9999999999", 0), ("0e9999", 0), ("0e99999999999999999999", 0),
        ("0.1e10", 10**15), ("10000000000e-1", 10**15), ("00000000000000000000000000000000001", 1_000_000),
    ],
)  # fmt: skip
def test_a_number_is_read_as_whole_millionths_half_to_even(text, micros):
    result = run(line(MbytesTransferred=text))
    assert only_window(result)["mbytes_transferred"] == micros
    assert result.counts.repaired_by_field == {}


@pytest.mark.parametrize(
    "text",
    [
        "", "1.", ".", "-", "+", "-.", "1.e5", "1_0", "٣", "1٣", "nan", "NaN", "inf", "-Infinity", "0x1",
        "0x1p3", "1e", "1e+", "e5", ".e5", "1e5.0", "1e400", "-1e400", "1e9999999999", "1000000000.0000001", "1e10",
        "1000000001", "--1", "+-1", "1 0", "1d", "1f", "1.5.5", "1e5e5", "$1", "null", "9" * 400, "1\x00", "\x000",
    ],
)  # fmt: skip
def test_a_near_miss_is_no_number_and_counts_as_one_repair(text):
    counts = run(line(MbytesTransferred=text)).counts
    assert counts.repaired_by_field == {"MbytesTransferred": 1}
    assert fate(line(TotalLoad=text)) == "total_load"


@pytest.mark.parametrize("text", ["-0", "-0.0", "-0.0000005", "-0.0000001", "-1e-300"])
def test_a_total_load_that_rounds_to_zero_is_not_negative(text):
    assert only_window(run(line(TotalLoad=text)))["total_load"] == 0


@pytest.mark.parametrize(
    "server",
    ["10.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "fe80::1", "FE80::ABCD", "2001:db8::8a2e:370:7334",
     "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1", "0001:0002:0003:0004:0005:0006:255.255.255.255"],
)  # fmt: skip
def test_an_address_is_kept_as_it_is_written(server):
    assert only_window(run(line(ServerIP=f" {server} ")))["server_ip"] == server


@pytest.mark.parametrize(
    "server",
    ["", "10.0.0", "10.0.0.1.2", "10.0.0.01", "010.0.0.1", "10.0.0.256", "10.0.0.-1", "10.0.0.1/32", "10.0.0.1:80",
     "1e1.0.0.1", "٣.0.0.1", "10. 0.0.1", "167772161", "localhost", "fe80::1%eth0", "fe80::1%", "%", "1::2::3",
     "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", ":1", "1:", "::g", "[::1]", "::1/128", "::10.0.0.01"],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(server):
    assert fate(line(ServerIP=server)) == "server_ip"


@pytest.mark.parametrize(
    ("text", "server_type"),
    [("3", 3), ("-3", -3), ("3.0", 3), ("3e0", 3), ("30e-1", 3), ("-0", 0), ("1e9", 10**9), ("0.3e1", 3),
     ("2.5", None), ("3.0000000001", None), ("3.00000000000000000001", 3), ("1e-9", None), ("1e-9999999999", 0)],
)  # fmt: skip
def test_a_whole_number_is_a_server_type_and_any_number_is_no_repair(text, server_type):
    result = run(line(ServerType=text))
    assert only_window(result)["server_type"] == server_type
    assert result.counts.repaired_by_field == {}


@pytest.mark.parametrize("text", ["", "x", "1e10", "2147483648", "99999999999999999999", "nan"])
def test_a_server_type_that_is_no_number_is_a_repair(text):
    result = run(line(ServerType=text))
    assert only_window(result)["server_type"] is None
    assert only_window(result)["server_type_at"] is None
    assert result.counts.repaired_by_field == {"ServerType": 1}


def test_a_time_without_fraction_keeps_whole_seconds():
    result = run(line(SessionStart="2016-06-01 00:07:30"))
    assert only_window(result)["last_event"] - utc(2016, 6, 1) == timedelta(minutes=7, seconds=30)
