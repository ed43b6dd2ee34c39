"""Faults on purpose: repeatable, told in the ledger, and nothing lost by them."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_stage import MemoryTopic, RecordingSender, line, replayed, write_lines

from producers.faults import SHUFFLE_LINES, FaultRates, outgoing
from producers.merge import SourceLine
from serverload.contracts.errors import InputError
from serverload.steps.event_kernel import LineRules
from serverload.steps.event_kernel.reference import Refusal, parse_line

MINUTE = 60_000_000
RULES = LineRules(source="live", batch_time=datetime(2020, 1, 1, tzinfo=UTC))


def stream(count: int) -> list[SourceLine]:
    """One line a minute."""
    return [SourceLine(n * MINUTE, 0, n, line(f"line {n}"), b"k") for n in range(count)]


def sent(count: int, **rates: float) -> list:
    return list(outgoing(stream(count), FaultRates(**rates)))


def test_without_faults_every_line_goes_as_it_is():
    assert [(m.source, m.text, m.faults) for m in sent(50)] == [(s, s.line, ()) for s in stream(50)]


def test_the_same_seed_does_the_same_and_another_something_else():
    rates = {"late": 0.1, "shuffle": 0.1, "duplicates": 0.1, "corrupt": 0.1}
    assert sent(500, **rates, seed=1) == sent(500, **rates, seed=1)
    assert sent(500, **rates, seed=1) != sent(500, **rates, seed=2)


def test_one_fault_does_not_change_the_draws_of_another():
    alone = [m.source.offset for m in sent(500, corrupt=0.1) if m.faults]
    beside = [m.source.offset for m in sent(500, corrupt=0.1, late=0.2) if any(f.kind == "corrupt" for f in m.faults)]
    assert alone == sorted(beside)


def test_late_lines_come_when_the_stream_is_so_many_seconds_further():
    messages = sent(3000, late=0.1, seed=3)
    assert sorted(m.source.offset for m in messages) == list(range(3000))
    late = [m for m in messages if m.faults]
    assert 200 < len(late) < 400
    last = 2999 * MINUTE
    for message in late:
        ((kind, how),) = message.faults
        due = message.source.time + how["seconds"] * 1_000_000
        assert kind == "late"
        assert 60 <= how["seconds"] <= 6 * 3600
        assert message.stream_time == min(last, -(-due // MINUTE) * MINUTE)


def test_lines_in_time_keep_their_order_among_themselves():
    messages = sent(1000, late=0.1, shuffle=0.1, duplicates=0.1, corrupt=0.1)
    untouched = [m.source.offset for m in messages if not m.faults]
    assert untouched == sorted(untouched)


def test_shuffled_lines_come_after_so_many_others():
    messages = sent(1000, shuffle=0.05, seed=3)
    order = [m.source.offset for m in messages]
    assert sorted(order) == list(range(1000))
    for message in (m for m in messages if m.faults):
        lines = message.faults[0].how["lines"]
        later = [other for other in order[: order.index(message.source.offset)] if other > message.source.offset]
        assert 1 <= lines <= SHUFFLE_LINES
        assert len(later) <= lines
        assert message.stream_time == min(999, message.source.offset + lines + 1) * MINUTE


def test_doubled_lines_come_twice_and_the_copy_is_told():
    messages = sent(1000, duplicates=0.1, seed=3)
    times = Counter(m.source.offset for m in messages)
    copies = [m.source.offset for m in messages if m.faults]
    assert len(times) == 1000
    assert sorted(copies) == sorted(offset for offset, count in times.items() if count == 2)
    assert max(times.values()) == 2
    assert 60 < len(copies) < 140


@given(
    st.binary(min_size=1, max_size=80).filter(lambda raw: b"\n" not in raw and raw.strip() != b""), st.integers(0, 99)
)
def test_damaged_lines_are_refused_for_the_reason_told_whatever_they_were(raw, seed):
    (message,) = outgoing([SourceLine(0, 0, 0, raw, None)], FaultRates(corrupt=1.0, seed=seed))
    assert parse_line(message.text, RULES) == Refusal(message.faults[0].how["reason"])
    assert b"\n" not in message.text


@pytest.mark.parametrize("raw", [line("2016-06-01 00:00:00"), b'{"SessionStart": "2016-06-01 00:00:00"}\r', b"    x"])
def test_good_lines_are_damaged_in_every_way(raw):
    ways = set()
    for seed in range(60):
        (message,) = outgoing([SourceLine(0, 0, 0, raw, None)], FaultRates(corrupt=1.0, seed=seed))
        assert parse_line(message.text, RULES) == Refusal(message.faults[0].how["reason"])
        ways.add(message.faults[0].how["way"])
    assert ways == ({"byte", "cut", "commas"} if raw[:1] == b"2" else {"byte", "commas"})


@pytest.mark.parametrize("kind", ["late", "shuffle", "duplicates", "corrupt"])
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_that_are_no_shares_are_refused(kind, rate):
    with pytest.raises(InputError, match=f"--{kind}: expected a rate from 0 to 1"):
        FaultRates(**{kind: rate})


def test_the_ledger_tells_each_fault_by_file_offset_and_sequence(tmp_path):
    lines = [line(f"06-01 {n // 60:02d}:{n % 60:02d}:00", f"10.0.0.{n % 7}", str(n)) for n in range(600)]
    path = write_lines(tmp_path / "a.csv", lines)
    rates = FaultRates(late=0.05, shuffle=0.05, duplicates=0.05, corrupt=0.05, seed=4)
    topic = MemoryTopic()
    result = replayed(tmp_path / "home", path, sender=RecordingSender(topic), faults=rates)
    entries = [json.loads(entry) for entry in result.ledger.read_text().splitlines()]
    counts = Counter(entry["kind"] for entry in entries)
    assert set(counts) == {"late", "shuffle", "duplicates", "corrupt"}
    assert result.sent == len(topic.texts) == 600 + counts["duplicates"]
    messages = {int(m.source.split(b":")[1]): m for log in topic.logs for m in log}
    text = path.read_bytes()
    for entry in entries:
        original = text[entry["offset"] :].split(b"\n", 1)[0]
        assert entry["file"] == str(path)
        assert messages[entry["sequence"]].key == original.rsplit(b",", 1)[1]
        if entry["kind"] == "corrupt":
            assert parse_line(messages[entry["sequence"]].text, RULES) == Refusal(entry["reason"])
    damaged = {entry["sequence"] for entry in entries if entry["kind"] == "corrupt"}
    assert {m.text for number, m in messages.items() if number not in damaged} <= set(lines)


def test_without_faults_there_is_no_ledger(tmp_path):
    path = write_lines(tmp_path / "a.csv", [line("06-01 00:00:00")])
    assert replayed(tmp_path / "home", path, sender=RecordingSender(MemoryTopic())).ledger is None
