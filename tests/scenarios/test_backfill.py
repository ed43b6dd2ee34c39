"""The history into tables, held against a slow reading of the same CSV files."""

import gzip
import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from batch.backfill import backfill
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.steps.event_kernel import LineRules
from serverload.steps.event_kernel.reference import Event, parse_line
from serverload.store import delta_tables
from serverload.store.delta_tables import DeltaTables
from serverload.store.table_reader import run_sql

START = date(2016, 2, 27)
SETTINGS = load_settings()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    generate_history(folder, servers=6, days=4, start=START, seed=7, dirty=0.05)
    return folder


@pytest.fixture(scope="module")
def filled(spark: SparkSession, history: Path, tmp_path_factory: pytest.TempPathFactory) -> DeltaTables:
    tables = DeltaTables(spark, str(tmp_path_factory.mktemp("home")))
    backfill(tables, SETTINGS.ingest, [str(history)], Silent())
    Advance(tables, SETTINGS).run()
    return tables


def test_every_line_is_accepted_or_refused(filled: DeltaTables) -> None:
    (row,) = run_sql(
        filled.home,
        "select sum(read) as read, sum(accepted) as accepted, sum(rejected) as rejected, sum(skipped) as skipped,"
        " (select sum(sessions) from load_windows) as sessions, (select count(*) from rejects) as refused"
        " from ingest_log",
    ).to_pylist()

    assert row["read"] == row["accepted"] + row["rejected"] + row["skipped"]
    assert row["accepted"] == row["sessions"]
    assert row["rejected"] == row["refused"] > 0


def test_window_sums_and_peaks_are_those_that_plain_python_finds(filled: DeltaTables, history: Path) -> None:
    expected = slow_peaks(history)

    found = run_sql(filled.home, "select server_ip, hour, peak_load, peak_window_start, sessions from hourly_load")

    got = {
        (row["server_ip"], int(row["hour"].timestamp()) // 3600): (
            round(row["peak_load"] * 1e6),
            int(row["peak_window_start"].timestamp()) // 300,
            row["sessions"],
        )
        for row in found.to_pylist()
    }
    assert got == expected


def slow_peaks(history: Path) -> dict[tuple[str, int], tuple[int, int, int]]:
    """Per server and hour: largest window sum (micros), its first window, sessions; one line after another."""
    rules = LineRules(source="history", batch_time=datetime.now(UTC))
    sums: dict[tuple[str, int], int] = {}
    sessions: dict[tuple[str, int], int] = {}
    for file in sorted(history.rglob("*.csv")):
        for line in file.read_bytes().split(b"\n"):
            event = parse_line(line, rules)
            if isinstance(event, Event):
                window = event.time // 300_000_000
                sums[event.server_ip, window] = sums.get((event.server_ip, window), 0) + event.measures[0]
                sessions[event.server_ip, window // 12] = sessions.get((event.server_ip, window // 12), 0) + 1
    peaks: dict[tuple[str, int], tuple[int, int, int]] = {}
    for (server, window), load in sorted(sums.items()):
        hour = (server, window // 12)
        if hour not in peaks or load > peaks[hour][0]:
            peaks[hour] = (load, window, sessions[hour])
    return peaks


def test_a_rerun_by_any_path_adds_nothing(filled: DeltaTables, history: Path) -> None:
    before = filled.version("load_windows")

    for path in (
        str(history),
        f"{history}/2016/*/*.csv",
        str(next(history.rglob("*.csv"))),
        f"{history}/../{history.name}",
    ):
        assert backfill(filled, SETTINGS.ingest, [path], Silent()).files == 0

    assert filled.version("load_windows") == before


def test_a_new_file_with_an_old_time_adds_only_itself(filled: DeltaTables, history: Path, tmp_path: Path) -> None:
    late_file = tmp_path / "late.csv"
    line = "2016-02-27 10:00:00,,1,5,1,1,3,1,1,1,1,1,1,70.5,10.9.9.9,10.8.8.8\n"
    late_file.write_text(line * 3)
    os.utime(late_file, (0, 0))

    result = backfill(filled, SETTINGS.ingest, [str(history), str(late_file)], Silent())
    Advance(filled, SETTINGS).run()

    assert (result.files, result.counts.accepted) == (1, 3)
    (hour,) = run_sql(
        filled.home, "select peak_load, sessions from hourly_load where server_ip = '10.8.8.8'"
    ).to_pylist()
    assert hour == {"peak_load": 211.5, "sessions": 3}


def test_a_changed_file_is_an_error_that_names_it(filled: DeltaTables, history: Path, tmp_path: Path) -> None:
    changed = tmp_path / "day.csv"
    shutil.copy(next(history.rglob("*.csv")), changed)
    backfill(filled, SETTINGS.ingest, [str(changed)], Silent())
    with changed.open("a") as file:
        file.write("one more line\n")

    with pytest.raises(InputError, match=r"day\.csv: changed since it was ingested"):
        backfill(filled, SETTINGS.ingest, [str(changed)], Silent())


def test_a_broken_file_can_be_mended_or_taken_away(spark: SparkSession, tmp_path: Path) -> None:
    """Its batch was planned and not written: the plan does not stand in the way of the mended file."""
    lines = b"2016-02-27 10:00:00,,1,5,1,1,3,1,1,1,1,1,1,70.5,10.9.9.9,10.8.8.8\n" * 5000
    whole, broken, other = gzip.compress(lines), tmp_path / "in" / "b.csv.gz", tmp_path / "in" / "a.csv"
    broken.parent.mkdir()
    other.write_bytes(lines)
    broken.write_bytes(whole[: len(whole) // 2])
    tables = DeltaTables(spark, str(tmp_path / "home"))
    with pytest.raises(Exception, match=r"b\.csv\.gz"):
        backfill(tables, SETTINGS.ingest, [str(broken.parent)], Silent(), force=True)

    broken.write_bytes(whole)
    done = backfill(tables, SETTINGS.ingest, [str(broken.parent)], Silent())

    assert (done.files, done.counts.accepted) == (2, 10_000)
    assert tables.read("ingest_log").count() == 1


def test_files_without_a_byte_are_done_like_others(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv.gz"):
        (tmp_path / name).touch()
    tables = DeltaTables(spark, str(tmp_path / "home"))

    done = backfill(tables, SETTINGS.ingest, [str(tmp_path / "*.csv"), str(tmp_path / "*.gz")], Silent())

    assert (done.files, done.counts.read) == (2, 0)
    assert backfill(tables, SETTINGS.ingest, [str(tmp_path / "a.csv")], Silent()).known_files == 1


def test_a_file_that_grows_while_it_is_read_is_told_and_its_batch_is_not_complete(
    spark: SparkSession, tmp_path: Path
) -> None:
    file, home = tmp_path / "day.csv", str(tmp_path / "home")
    lines = "2016-02-27 10:00:00,,1,5,1,1,3,1,1,1,1,1,1,70.5,10.9.9.9,10.8.8.8\n" * 3
    file.write_text(lines)
    made = file.stat().st_mtime_ns

    class Growing(DeltaTables):
        def append_arrow(self, *given) -> None:  # type: ignore[no-untyped-def]
            super().append_arrow(*given)
            file.write_text(lines + lines)

    with pytest.raises(InputError, match=r"day\.csv: changed since"):
        backfill(Growing(spark, home), SETTINGS.ingest, [str(file)], Silent())
    tables = DeltaTables(spark, home)
    assert tables.version("ingest_log") == -1
    with pytest.raises(InputError, match=r"batch 0, half written: .*put it back as it was"):
        backfill(tables, SETTINGS.ingest, [str(file)], Silent())

    file.write_text(lines)
    os.utime(file, ns=(made, made))
    assert backfill(tables, SETTINGS.ingest, [str(file)], Silent()).counts.accepted == 3
    assert run_sql(home, "select sum(sessions)::bigint as n from load_windows").to_pylist() == [{"n": 3}]


def test_a_home_that_only_spark_reaches_gets_the_same_windows(
    spark: SparkSession, history: Path, filled: DeltaTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There Spark writes the rows; in a local home its tasks write Parquet by Arrow."""
    afar = DeltaTables(spark, str(tmp_path))
    monkeypatch.setattr(delta_tables, "is_local", lambda _home: False)

    backfill(afar, SETTINGS.ingest, [str(history)], Silent())

    here, there = (tables.read("load_windows").where("batch_id = 0") for tables in (filled, afar))
    assert here.dtypes == there.dtypes
    assert here.exceptAll(there).isEmpty()
    assert there.exceptAll(here).isEmpty()


def test_a_wrong_file_stops_before_anything_is_committed(spark: SparkSession, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.csv"
    wrong.write_text("just,some,notes\n" * 50)
    tables = DeltaTables(spark, str(tmp_path / "home"))

    with pytest.raises(InputError, match=r"50 of the first 50 lines would be refused: 50 x columns .*--force"):
        backfill(tables, SETTINGS.ingest, [str(wrong)], Silent())

    assert tables.version("rejects") == tables.version("ingest_log") == -1


class PowerCut(BaseException):
    """Ends a run where nothing may catch it."""


def no_commit(*_given: object) -> None:
    raise PowerCut


@pytest.mark.parametrize("after", ["the files of load_windows", "load_windows", "rejects", "ingested_files"])
def test_a_run_cut_between_two_writes_is_finished_by_the_next(
    spark: SparkSession, history: Path, tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        if after == "the files of load_windows":
            patch.setattr(delta_tables, "commit_files", no_commit)
        backfill(CutTables(spark, str(tmp_path), after), SETTINGS.ingest, [str(history)], Silent())

    again = backfill(DeltaTables(spark, str(tmp_path)), SETTINGS.ingest, [str(history)], Silent())

    assert again.counts.read > 0
    (row,) = run_sql(
        str(tmp_path),
        "select (select sum(sessions) from load_windows) = sum(accepted) and count(*) = 1"
        " and (select count(*) from rejects) = sum(rejected) and (select count(*) from ingested_files) = 4 as whole"
        " from ingest_log",
    ).to_pylist()
    assert row["whole"]


class CutTables(DeltaTables):
    """Real tables, on a machine whose power goes right after a table was written."""

    def __init__(self, spark: SparkSession, home: str, after: str) -> None:
        super().__init__(spark, home)
        self._after = after

    def append(self, name, *given) -> None:  # type: ignore[no-untyped-def]
        super().append(name, *given)
        self._cut(name)

    def append_arrow(self, name, *given) -> None:  # type: ignore[no-untyped-def]
        super().append_arrow(name, *given)
        self._cut(name)

    def append_rows(self, name, *given) -> None:  # type: ignore[no-untyped-def]
        super().append_rows(name, *given)
        self._cut(name)

    def _cut(self, name: str) -> None:
        if name == self._after:
            raise PowerCut(name)
