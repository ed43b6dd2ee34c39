"""Packed rows give back what the kernel found, and adding partial sums is exact in any order and cut."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverload.contracts.classes import MICROS_LIMIT
from serverload.contracts.lines import MEASURES
from serverload.steps import ingest_rows
from serverload.steps.event_kernel import EventKernel, LineCounts, LineRules
from serverload.steps.ingest_rows import (
    COUNT,
    REJECT,
    SERVER,
    WINDOW,
    added_parts,
    file_lines,
    packed_rows,
    rechunked,
    unpacked_counts,
    unpacked_rejects,
    unpacked_servers,
)
from serverload.steps.window_rows import WINDOWS_SCHEMA
from serverload.steps.windows import add_partials

RULES = LineRules(source="history", batch_time=datetime(2020, 1, 1, tzinfo=UTC))
START = datetime(2016, 3, 1, tzinfo=UTC)


def line(server: int, minutes: int, load: str) -> bytes:
    time = START + timedelta(minutes=minutes)
    return f"{time:%Y-%m-%d %H:%M:%S},,1,5,1,1,3,1,1,1,1,1,1,{load},10.9.9.9,10.0.0.{server}\n".encode()


def packed(chunks: list[bytes], parts: int, *, servers: bool = False) -> list[pa.RecordBatch]:
    offsets = [sum(len(chunk) for chunk in chunks[:number]) for number in range(len(chunks))]
    lines = (file_lines("file:///a.csv", offset, chunk) for offset, chunk in zip(offsets, chunks, strict=True))
    return list(packed_rows(RULES, lines, parts, servers=servers))


def of_kind(rows: list[pa.RecordBatch], kind: str) -> pa.Table:
    table = pa.Table.from_batches(rows)
    return table.filter(pa.compute.equal(table["kind"], kind))


def counts_of(rows: list[pa.RecordBatch]) -> LineCounts:
    return unpacked_counts(value.as_buffer() for value in of_kind(rows, COUNT)["packed"])


def sorted_rows(table: pa.Table) -> list[dict[str, object]]:
    return table.sort_by([("server_ip", "ascending"), ("window_start", "ascending")]).to_pylist()


drawn_lines = st.lists(
    st.builds(line, st.integers(1, 4), st.integers(0, 6000), st.sampled_from(["1.5", "0.000001", "12", "x", ""])),
    max_size=40,
)


@settings(deadline=None)
@given(st.lists(drawn_lines, max_size=5), st.integers(1, 7), st.integers(1, 5_000), st.integers(1, 9))
def test_packed_rows_hold_what_the_kernel_finds_in_the_whole(chunks, parts, waiting, cut):
    joined = [b"".join(lines) for lines in chunks]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_rows, "_WAITING_BYTES", waiting)
        rows = packed(joined, parts)
    whole = EventKernel(RULES).run(b"".join(joined))

    windows = of_kind(rows, WINDOW)
    added = list(added_parts(windows.sort_by("part").to_batches(max_chunksize=cut)))
    assert len(added) == len(set(windows["part"].to_pylist()))
    added = pa.concat_tables([WINDOWS_SCHEMA.empty_table(), *added])
    assert sorted_rows(added) == sorted_rows(whole.windows)
    rejects = list(unpacked_rejects(of_kind(rows, REJECT).to_batches()))
    found = [row for batch in rejects for row in batch.to_pylist()]
    assert [(row["line"], row["reason"]) for row in found] == [
        (row["line"], row["reason"]) for row in whole.rejects.to_pylist()
    ]
    assert [row["origin"] for row in found] == [
        f"file:///a.csv:{offset}" for offset in whole.rejects["offset"].to_pylist()
    ]
    assert counts_of(rows) == whole.counts


def test_the_newest_event_of_each_server_is_told_where_it_is_asked_for():
    first_task = packed([line(1, 10, "1") + line(2, 5, "1"), line(1, 7, "1") + line(3, 90, "x")], 3, servers=True)
    second_task = packed([line(2, 8, "1") + b"hello\n"], 3, servers=True)
    third_task = packed([b"hello\n"], 3, servers=True)

    told = [value.as_buffer() for value in of_kind(first_task + second_task + third_task, SERVER)["packed"]]

    assert unpacked_servers(told) == {
        "10.0.0.1": START + timedelta(minutes=10),
        "10.0.0.2": START + timedelta(minutes=8),
    }
    assert of_kind(packed([line(1, 10, "1")], 3), SERVER).num_rows == 0
    assert unpacked_servers([]) == {}


def test_windows_that_come_once_an_hour_spread_over_the_parts():
    rows = packed([b"".join(line(1, 60 * hour, "1") for hour in range(480))], 12)

    assert set(of_kind(rows, WINDOW)["part"].to_pylist()) == set(range(12))


def test_the_servers_of_one_window_spread_over_the_parts():
    rows = packed([b"".join(line(server, 0, "1") for server in range(1, 200))], 12)

    assert set(of_kind(rows, WINDOW)["part"].to_pylist()) == set(range(12))


def test_lines_without_an_event_are_counted_all_the_same():
    rows = packed([b"hello\n\n"], 3)

    assert of_kind(rows, WINDOW).num_rows == 0
    assert counts_of(rows).rejected == 1


large = st.one_of(st.integers(-10, 10), st.integers(-(2**62), 2**62), st.integers(MICROS_LIMIT - 9, MICROS_LIMIT))
partials = st.lists(
    st.tuples(
        st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        st.integers(0, 2),
        st.integers(1, 9),
        st.tuples(*[large] * len(MEASURES)),
        st.integers(0, 299_999_999),
        st.one_of(st.none(), st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 299_999_999))),
    ),
    max_size=25,
)


def table_of(rows: list[tuple]) -> pa.Table:
    entries = []
    for server, window, sessions, micros, last, kind in rows:
        start = START + timedelta(minutes=5 * window)
        entries.append(
            {
                "server_ip": server,
                "window_start": start,
                "sessions": sessions,
                **dict(zip(MEASURES, micros, strict=True)),
                "last_event": start + timedelta(microseconds=last),
                "server_type": kind[0] if kind else None,
                "server_type_at": start + timedelta(microseconds=kind[1]) if kind else None,
            }
        )
    return pa.Table.from_pylist(entries, WINDOWS_SCHEMA)


def plainly_added(rows: list[dict]) -> list[dict]:
    groups = defaultdict(list)
    for row in rows:
        groups[row["server_ip"], row["window_start"]].append(row)
    added = []
    for (server, start), members in groups.items():
        newest = max(
            ((row["server_type_at"], row["server_type"]) for row in members if row["server_type"] is not None),
            default=(None, None),
        )
        sums = {name: sum(row[name] for row in members) for name in MEASURES}
        added.append(
            {
                "server_ip": server,
                "window_start": start,
                "sessions": sum(row["sessions"] for row in members),
                **{name: max(-MICROS_LIMIT, min(MICROS_LIMIT, total)) for name, total in sums.items()},
                "last_event": max(row["last_event"] for row in members),
                "server_type": newest[1],
                "server_type_at": newest[0],
            }
        )
    return sorted(added, key=lambda row: (row["server_ip"], row["window_start"]))


@settings(deadline=None)
@given(partials, st.integers(0, 25))
def test_partial_sums_add_up_as_in_plain_python(rows, cut):
    tables = [table_of(rows[:cut]), table_of(rows[cut:])]

    added = add_partials(tables)

    assert added.schema == WINDOWS_SCHEMA
    assert sorted_rows(added) == plainly_added(pa.concat_tables(tables).to_pylist())


def test_nothing_adds_up_to_nothing():
    assert add_partials([]).num_rows == 0


@given(
    st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12).map(
        lambda batches: [
            pa.record_batch({"value": pa.array([b"x" * size for size in of], pa.binary())}) for of in batches
        ]
    )
)
def test_batches_of_messages_are_put_together_and_cut_without_losing_one(batches: list[pa.RecordBatch]) -> None:
    chunks = list(rechunked(batches, 100))
    assert [row for chunk in chunks for row in chunk.to_pylist()] == [
        row for batch in batches for row in batch.to_pylist()
    ]
    assert all(chunk.num_rows for chunk in chunks)
    assert all(chunk.nbytes >= 100 for chunk in chunks[:-1])


def test_a_large_batch_is_cut_to_size() -> None:
    batch = pa.record_batch({"value": pa.array([b"x" * 96] * 50, pa.binary())})  # and 4 bytes each for where it begins
    assert [chunk.num_rows for chunk in rechunked([batch], 1000)] == [10] * 5
