"""Closings, late data and crashes on three drawn servers: what `advance` writes, and that it writes it once."""

import os
import shutil
from pathlib import Path

import pytest
from advance_cases import FIRST, NOW, SERVERS, SETTINGS, Model, add_hours, add_windows
from pyspark.sql import SparkSession

from batch.features import update_features
from serverload.advance import Advance, Advanced
from serverload.contracts.instants import hour_start
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.contracts.tables import TABLES
from serverload.model.pipeline import forest_pipeline
from serverload.store.delta_tables import DeltaTables
from serverload.store.table_reader import run_sql

WRITTEN_AT = {"forecasts": "issued_at", "forecast_outcomes": "matured_at"}


def advance(tables: DeltaTables, model: Model | None, newest: Model | None = None) -> Advanced:
    """Advance with `newest` as champion, else `model`, which by its version can still be had."""
    return Advance(tables, SETTINGS).run(lambda: newest or model, {"1": model}.get)


def table_rows(home: str, name: str) -> list[tuple[object, ...]]:
    """All rows of a table but for the time of writing, sorted."""
    kept = ", ".join(column for column in TABLES[name].column_names if column != WRITTEN_AT.get(name))
    return sorted((tuple(row.values()) for row in run_sql(home, f"select {kept} from {name}").to_pylist()), key=repr)


def rows_of_all(home: str) -> dict[str, list[tuple[object, ...]]]:
    return {name: table_rows(home, name) for name in ("hourly_load", "servers", "forecasts", "forecast_outcomes")}


@pytest.fixture(scope="module")
def first_home(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[DeltaTables, Advanced]:
    """Ten days of history without a model."""
    tables = DeltaTables(spark, str(tmp_path_factory.mktemp("first")))
    add_hours(tables, FIRST, NOW)
    done = advance(tables, None)
    update_features(tables, SETTINGS, Silent())
    return tables, done


@pytest.fixture(scope="module")
def model(first_home: tuple[DeltaTables, Advanced]) -> Model:
    features = first_home[0].read("features").coalesce(1).cache()
    return Model(forest_pipeline("full", trees=20, depth=6, seed=1).fit(features))


@pytest.fixture(scope="module")
def started(first_home: tuple[DeltaTables, Advanced], model: Model) -> tuple[DeltaTables, Advanced]:
    """The same home once there is a champion."""
    return first_home[0], advance(first_home[0], model)


@pytest.fixture(scope="module")
def closed(
    spark: SparkSession, started: tuple[DeltaTables, Advanced], model: Model, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DeltaTables, Advanced]:
    """A copy of it in which three more hours have closed."""
    tables = copied(spark, started[0], tmp_path_factory.mktemp("closed"))
    add_hours(tables, NOW, NOW + 3)
    return tables, advance(tables, model)


@pytest.fixture(scope="module")
def late(
    spark: SparkSession, closed: tuple[DeltaTables, Advanced], model: Model, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DeltaTables, Advanced]:
    """A copy of that in which load came late for the second server's hour NOW, and another champion has been named."""
    tables = copied(spark, closed[0], tmp_path_factory.mktemp("late"))
    add_windows(tables, [(SERVERS[1], NOW, 900.0)])
    return tables, advance(tables, model, Model(model.fitted, "2"))


def copied(spark: SparkSession, tables: DeltaTables, home: Path) -> DeltaTables:
    shutil.copytree(f"{tables.home}/tables", home / "tables")
    return DeltaTables(spark, str(home))


def counted(home: str, query: str) -> list[dict[str, object]]:
    return run_sql(home, query).to_pylist()


def test_without_a_champion_hours_are_kept_and_forecasts_wait(first_home: tuple[DeltaTables, Advanced]) -> None:
    _tables, done = first_home
    assert (done.closed_hour, done.issued, done.waits_for_model) == (NOW - 2, (), True)


def test_the_first_champion_issues_the_newest_closed_hour_alone(started: tuple[DeltaTables, Advanced]) -> None:
    assert started[1].issued == (NOW - 2,)


def test_hours_that_closed_are_issued_and_mature_what_was_said_of_them(closed: tuple[DeltaTables, Advanced]) -> None:
    tables, done = closed
    assert done.issued == (NOW - 1, NOW, NOW + 1)
    forecasts = "select count(*) as n, max(revision) as r from forecasts"
    assert counted(tables.home, forecasts) == [{"n": 4 * 3 * 48, "r": 0}]
    # said of NOW - 1, NOW and NOW + 1 by the closings before each: 1 + 2 + 3, of three servers
    outcomes = "select count(*) as n, max(outcome_revision) as r from forecast_outcomes"
    assert counted(tables.home, outcomes) == [{"n": 18, "r": 0}]


def test_late_load_issues_the_newest_forecasts_of_its_server_again(late: tuple[DeltaTables, Advanced]) -> None:
    tables, done = late
    again = "select distinct server_ip, revision, model_version, epoch(issued_hour)::bigint // 3600 as hour"
    assert done.issued == ()
    assert counted(tables.home, f"{again} from forecasts where revision > 0") == [
        {"server_ip": SERVERS[1], "revision": 1, "model_version": "1", "hour": NOW + 1}
    ]
    assert counted(tables.home, "select count(*) as n from forecasts where revision = 0") == [{"n": 4 * 3 * 48}]


def test_late_load_that_changes_a_class_is_a_new_outcome(late: tuple[DeltaTables, Advanced]) -> None:
    again = """
        select server_ip, epoch(target_hour)::bigint // 3600 as hour, horizon_hours, actual_class, actual_peak_load
        from forecast_outcomes where outcome_revision = 1 order by horizon_hours
    """
    changed = {"server_ip": SERVERS[1], "hour": NOW, "actual_class": "high", "actual_peak_load": 950.0}
    assert counted(late[0].home, again) == [{**changed, "horizon_hours": ahead} for ahead in (1, 2)]


def test_a_further_run_writes_nothing(late: tuple[DeltaTables, Advanced], model: Model) -> None:
    tables, _done = late
    before = {name: tables.version(name) for name in TABLES}
    advance(tables, model)
    assert {name: tables.version(name) for name in TABLES} == before


def test_hours_that_a_job_without_a_champion_saw_close_are_issued_and_matured_later(
    spark: SparkSession, started: tuple[DeltaTables, Advanced], closed: tuple[DeltaTables, Advanced], model: Model,
    tmp_path: Path,
) -> None:  # fmt: skip
    tables = copied(spark, started[0], tmp_path)
    add_hours(tables, NOW, NOW + 3)
    advance(tables, None)
    advance(tables, model)
    assert rows_of_all(tables.home) == rows_of_all(closed[0].home)


def test_one_server_with_a_clock_days_ahead_closes_nothing(
    spark: SparkSession, closed: tuple[DeltaTables, Advanced], model: Model, tmp_path: Path
) -> None:
    tables, before = copied(spark, closed[0], tmp_path), closed[1]
    add_windows(tables, [(SERVERS[0], NOW + 3 + 72, 900.0)])
    done = advance(tables, model)
    assert (done.watermark, done.closed_hour, done.issued) == (before.watermark, before.closed_hour, ())
    assert table_rows(tables.home, "forecasts") == table_rows(closed[0].home, "forecasts")
    (row,) = counted(tables.home, f"select max(hour) as hour from hourly_load where server_ip = '{SERVERS[0]}'")
    assert row == {"hour": hour_start(NOW + 75)}


def test_a_champion_for_one_horizon_issues_that_alone(spark: SparkSession, model: Model, tmp_path: Path) -> None:
    tables = DeltaTables(spark, str(tmp_path))
    add_hours(tables, FIRST, FIRST + 50)
    advance(tables, Model(model.fitted, only_horizons=(48,)))
    assert counted(tables.home, "select distinct horizon_hours as h from forecasts") == [{"h": 48}]


def test_labels_follow_the_thresholds(
    spark: SparkSession, first_home: tuple[DeltaTables, Advanced], tmp_path: Path
) -> None:
    tables = copied(spark, first_home[0], tmp_path)
    labels = f"select label, count(*) as n from features where server_ip = '{SERVERS[2]}' group by 1"
    (before,) = counted(tables.home, labels)
    higher = load_settings(flags={"model": {"training_horizons": "1,48"}, "classes": {"low_max": 350.0}})
    assert update_features(tables, higher, Silent())
    assert not update_features(tables, higher, Silent())
    assert counted(tables.home, labels) == [{"label": "low", "n": before["n"]}]
    assert before["label"] == "medium"


def test_what_was_noted_in_a_log_that_is_gone_is_found_again_and_changes_nothing(
    spark: SparkSession, late: tuple[DeltaTables, Advanced], model: Model, tmp_path: Path
) -> None:
    """Upkeep's commits note nothing; after them, and with the old log gone, no table tells how far it has come."""
    tables, before = copied(spark, late[0], tmp_path), rows_of_all(late[0].home)
    names = ("hourly_load", "forecasts", "forecast_outcomes")
    for name in names:
        tables.pinned(name).commit("false", [], {"upkeep": 1})
        for file in Path(tables.path(name), "_delta_log").iterdir():
            os.utime(file, (0, 0))
        tables.pinned(name).trim_log()
    keys = ("load_windows_version", "issued_hour", "matured_until")
    assert [tables.newest_note(name, key) for name, key in zip(names, keys, strict=True)] == [None] * 3

    assert advance(tables, model).issued == ()
    assert rows_of_all(tables.home) == before
    noted = [tables.newest_note(name, key) for name, key in zip(names, keys, strict=True)]
    assert noted == [tables.version("load_windows"), NOW + 1, NOW + 1]
    after = {name: tables.version(name) for name in TABLES}
    advance(tables, model)
    assert {name: tables.version(name) for name in TABLES} == after


class PowerCut(BaseException):
    """Ends a run where nothing may catch it."""


class CutTables(DeltaTables):
    """Real tables, on a machine whose power goes right after every write."""

    def append(self, *given, **named) -> None:  # type: ignore[no-untyped-def]
        super().append(*given, **named)
        raise PowerCut

    def replace(self, *given, **named) -> None:  # type: ignore[no-untyped-def]
        super().replace(*given, **named)
        raise PowerCut

    def merge(self, *given, **named) -> None:  # type: ignore[no-untyped-def]
        super().merge(*given, **named)
        raise PowerCut


def crashes_until_done(tables: DeltaTables, model: Model) -> int:
    """Advance, cut after each write and started anew, until a run has nothing left to write."""
    crashes = 0
    while crashes < 10:
        try:
            advance(CutTables(tables.spark, tables.home), model)
        except PowerCut:
            crashes += 1
        else:
            return crashes
    raise AssertionError("it writes again and again")


def test_a_closing_cut_after_each_write_ends_as_if_it_had_not_been(
    spark: SparkSession, started: tuple[DeltaTables, Advanced], closed: tuple[DeltaTables, Advanced], model: Model,
    tmp_path: Path,
) -> None:  # fmt: skip
    tables = copied(spark, started[0], tmp_path)
    add_hours(tables, NOW, NOW + 3)
    assert crashes_until_done(tables, model) == 4
    assert rows_of_all(tables.home) == rows_of_all(closed[0].home)


def test_late_load_cut_after_each_write_ends_as_if_it_had_not_been(
    spark: SparkSession, closed: tuple[DeltaTables, Advanced], late: tuple[DeltaTables, Advanced], model: Model,
    tmp_path: Path,
) -> None:  # fmt: skip
    tables = copied(spark, closed[0], tmp_path)
    add_windows(tables, [(SERVERS[1], NOW, 900.0)])
    assert crashes_until_done(tables, model) == 3
    assert rows_of_all(tables.home) == rows_of_all(late[0].home)
