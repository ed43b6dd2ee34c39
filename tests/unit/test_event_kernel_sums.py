"""What accepted lines add up to: windows, types, repairs, counts; and what the kernel takes and gives."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from event_kernel_cases import RULES, line, line_17, only_window, run

from serverload.steps.event_kernel import REJECTS_SCHEMA, EventKernel, LineCounts
from serverload.steps.window_rows import WINDOWS_SCHEMA


def at(minute: int, second: int = 0) -> datetime:
    return datetime(2016, 6, 1, 0, minute, second, tzinfo=UTC)


def test_a_clean_line_is_one_session_of_its_window():
    result = run(line())
    assert result.windows.to_pylist() == [
        {
            "server_ip": "10.0.0.1",
            "window_start": at(5),
            "sessions": 1,
            "total_load": 2_250_000,
            "mbytes_transferred": 1_500_000,
            "sub_service_1_load": 100_000,
            "sub_service_2_load": 200_000,
            "sub_service_3_load": 300_000,
            "sub_service_4_load": 400_000,
            "sub_service_5_load": 500_000,
            "secure_bytes_load": 600_000,
            "last_event": at(7, 30),
            "server_type": 3,
            "server_type_at": at(7, 30),
        }
    ]
    assert result.counts == LineCounts(1, 1, 0, 0, {}, {}, at(7, 30), at(7, 30))
    assert result.windows.schema == WINDOWS_SCHEMA
    assert result.rejects.schema == REJECTS_SCHEMA


def test_a_window_is_the_floor_of_five_minutes():
    times = ["00:04:59.999999", "00:05", "00:09:59.999999", "00:10"]
    windows = run(*(line(SessionStart=f"2016-06-01 {time}") for time in times)).windows
    assert windows["window_start"].to_pylist() == [at(0), at(5), at(10)]
    assert windows["sessions"].to_pylist() == [1, 2, 1]


def test_servers_are_told_apart_by_their_text():
    windows = run(line(ServerIP="::1"), line(ServerIP="0::1"), line(ServerIP="::1"), line(ServerIP="10.0.0.11")).windows
    assert windows["server_ip"].to_pylist() == ["::1", "0::1", "10.0.0.11"]
    assert windows["sessions"].to_pylist() == [2, 1, 1]


def test_a_server_text_is_never_taken_for_one_that_begins_like_it():
    for number in range(100):
        servers = [f"web-{number}", "", "web-", f"web-{number}0", "web-"]
        windows = run(*(line(ServerIP=server) for server in servers), server_pattern=".*").windows
        assert windows["server_ip"].to_pylist() == servers[:4]


def test_sums_are_whole_millionths_so_no_order_shows():
    loads = ["0.1", "0.2", "0.3", "0.7", "1e-6", "0.0000004"] * 100
    window = only_window(run(*(line(TotalLoad=load) for load in loads)))
    assert window["total_load"] == 130_000_100


def test_a_repaired_field_adds_nothing_and_a_negative_one_is_kept():
    result = run(line(MbytesTransferred="", SecureBytes_Load="x", SubService_1_Load="-5"), line())
    window = only_window(result)
    assert (window["mbytes_transferred"], window["secure_bytes_load"]) == (1_500_000, 600_000)
    assert window["sub_service_1_load"] == -4_900_000
    assert result.counts.repaired_by_field == {"MbytesTransferred": 1, "SecureBytes_Load": 1}


def test_repairs_of_refused_and_skipped_lines_are_not_counted():
    bad = [line(MbytesTransferred="", TotalLoad="x"), line(MbytesTransferred="", ServerIP="10.0.0.2")]
    counts = run(*bad, only_servers=frozenset({"10.0.0.1"})).counts
    assert (counts.rejected, counts.skipped, counts.repaired_by_field) == (1, 1, {})


def test_the_fields_that_are_not_read_may_hold_anything():
    unread = ("SessionEnd", "ConcurrentConnectionCounts", "ServiceGrade", "HTTP1", "ClientIP", "TrafficType")
    for name in unread:
        for text in ("", "x", "é", '"', "\x00", ";", "a\tb|c"):
            assert run(line_17(**{name: text})).counts.accepted == 1
            assert run(line_17(**{name: text})).counts.repaired_by_field == {}


def test_the_type_is_that_of_the_newest_event_with_a_whole_one():
    window = only_window(
        run(
            line(SessionStart="2016-06-01 00:06", ServerType="7"),
            line(SessionStart="2016-06-01 00:08", ServerType="2"),
            line(SessionStart="2016-06-01 00:09", ServerType="2.5"),
            line(SessionStart="2016-06-01 00:09:30", ServerType=""),
            line(SessionStart="2016-06-01 00:07", ServerType="9"),
        )
    )
    assert (window["server_type"], window["server_type_at"]) == (2, at(8))
    assert window["last_event"] == at(9, 30)


def test_of_types_at_the_same_time_the_largest_is_taken():
    window = only_window(run(*(line(ServerType=kind) for kind in ("-4", "5", "4"))))
    assert window["server_type"] == 5


def test_a_type_at_the_very_start_of_time_counts():
    window = only_window(run(line(SessionStart="1970-01-01 00:00", ServerType="-1")))
    assert window["server_type"] == -1
    assert window["server_type_at"] == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_sum_too_large_for_64_bits_goes_on_in_another_row():
    lines = [line(TotalLoad="1e9", SubService_1_Load="-1e9")] * 16_001 + [line(ServerIP="::1")]
    windows = EventKernel(RULES).run(b"\n".join(lines)).windows.to_pylist()
    assert [(row["server_ip"], row["sessions"]) for row in windows] == [
        ("10.0.0.1", 8_000),
        ("10.0.0.1", 8_000),
        ("10.0.0.1", 1),
        ("::1", 1),
    ]
    assert [row["total_load"] for row in windows] == [8 * 10**18, 8 * 10**18, 10**15, 2_250_000]
    assert [row["sub_service_1_load"] for row in windows[:3]] == [-8 * 10**18, -8 * 10**18, -(10**15)]


def test_many_sessions_of_common_size_stay_one_row():
    assert only_window(EventKernel(RULES).run(b"\n".join([line()] * 20_000)))["total_load"] == 45_000_000_000


def test_counts_can_be_added():
    first = run(line(), b"x", line(ServerType="", SessionStart="2016-06-01 00:20")).counts
    second = run(line(ServerType="", MbytesTransferred=""), b"x", line(SessionStart="x")).counts
    assert first + second == LineCounts(
        read=6,
        accepted=3,
        rejected=3,
        skipped=0,
        rejected_by_reason={"columns": 2, "header": 1},
        repaired_by_field={"ServerType": 2, "MbytesTransferred": 1},
        first_event=at(7, 30),
        last_event=at(20),
    )
    assert LineCounts() + first == first + LineCounts() == first


@pytest.mark.parametrize(
    "wrap", [bytes, bytearray, memoryview, pa.py_buffer, lambda lines: np.frombuffer(lines, np.uint8).copy()]
)
def test_every_kind_of_buffer_is_read_and_left_as_it_was(wrap):
    lines = line() + b"\nx\n" + line()
    buffer = wrap(lines)
    result = EventKernel(RULES).run(buffer)
    assert (result.counts.accepted, result.counts.rejected) == (2, 1)
    assert bytes(buffer) == lines


def test_a_result_keeps_no_hold_of_the_buffer():
    buffer = bytearray(line() + b"\nx\n")
    result = EventKernel(RULES).run(buffer)
    buffer[:] = b"\n" * len(buffer)
    assert result.windows["server_ip"].to_pylist() == ["10.0.0.1"]
    assert result.rejects["line"].to_pylist() == ["x"]


def test_a_kernel_travels_by_its_rules():
    kernel = EventKernel(replace(RULES, server_pattern="web-.*", only_servers=frozenset({"web-1"})))
    kernel.run(line(ServerIP="web-1"))
    travelled = pickle.loads(pickle.dumps(kernel))
    assert travelled.rules == kernel.rules
    assert travelled.run(line(ServerIP="web-1")).counts.accepted == 1


def test_clean_lines_of_every_common_kind_take_the_fast_path():
    lines = [
        line(),
        line_17() + b"\r",
        line(SessionStart="2016-06-01T00:07:30.123+02:00", TotalLoad="12.345678901234567"),
        line(MbytesTransferred="", ServerType="x", TotalLoad="1e2"),
        line(ClientIP="é"),
        line(TotalLoad="x"),
        b"\xff",
        b"x",
        b" \r",
        line(ServerIP="host"),
    ]
    assert run(*lines).slow_lines == 0
