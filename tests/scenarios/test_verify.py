"""`verify` on a small home that is right, and on copies of it in each of which one thing is wrong."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from trained_home import TrainedHome
from typer.testing import CliRunner

from batch.backfill import backfill
from serverload.advance import Advance
from serverload.cli import app
from serverload.cli.verify import PARTS
from serverload.contracts.lines import MEASURES
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.contracts.tables import TABLES
from serverload.steps.windows import measure, window_sums
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry

SMALL = """
[model]
training_horizons = "1,48"
"""
Rows = dict[str, dict[str, object]]


@dataclass(frozen=True)
class Home:
    """A home, its settings file and its history, oldest file first."""

    folder: Path
    config: Path
    history: list[Path]

    def tables(self, spark: SparkSession) -> DeltaTables:
        return DeltaTables(spark, str(self.folder))

    def verified(self, *flags: str) -> tuple[int, Rows]:
        """Exit code and rows of `serverload verify`."""
        given = ["verify", "--home", str(self.folder), "--config", str(self.config), "--format", "json", *flags]
        ran = CliRunner().invoke(app, given)
        assert ran.stdout, ran.stderr + repr(ran.exception)
        return ran.exit_code, {row["check"]: row for row in json.loads(ran.stdout)}


@pytest.fixture(scope="module")
def home(spark: SparkSession, trained: TrainedHome, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A history in two batches, a model and its first forecasts, then a day that some of them matured on."""
    folder = tmp_path_factory.mktemp("verify")
    config = folder / "small.toml"
    config.write_text(SMALL)
    files = [*trained.history, Path(shutil.copy(trained.days[-1], folder))]  # its own: a test edits it
    right = Home(trained.copied(folder / "home"), config, files)
    settings = load_settings(str(config), {"home": str(right.folder)})
    tables, registry = right.tables(spark), ModelRegistry("", settings.model.name, settings.home)
    Advance(tables, settings).run(registry.champion, registry.version)
    backfill(tables, settings.ingest, [str(files[-1])], Silent())
    Advance(tables, settings).run(registry.champion, registry.version)
    return right


@pytest.fixture
def damaged(home: Home, tmp_path: Path) -> Home:
    """A copy to do harm to."""
    shutil.copytree(home.folder, tmp_path / "home")
    return Home(tmp_path / "home", home.config, home.history)


def differing(rows: Rows) -> set[str]:
    return {name for name, row in rows.items() if row["result"] == "DIFFERS"}


def test_a_home_that_is_right_agrees_in_every_row(home: Home) -> None:
    code, rows = home.verified()

    assert {name: row["result"] for name, row in rows.items()} == dict.fromkeys(rows, "agrees")
    compared = {name: row["compared"] for name, row in rows.items() if not name.startswith("live")}
    assert len(compared) == 16
    assert all(compared.values()), compared
    assert code == 0


def double_a_partial_sum(tables: DeltaTables) -> None:
    tables.append("load_windows", tables.read("load_windows").orderBy("window_start", "server_ip").limit(1))


def lose_a_refused_line(tables: DeltaTables) -> None:
    table = DeltaTable.forPath(tables.spark, tables.path("rejects"))
    origin = tables.read("rejects").agg(F.min("origin")).collect()[0][0]
    table.delete(F.col("origin") == origin)


def count_a_line_too_many(tables: DeltaTables) -> None:
    update(tables, "ingest_log", "batch_id = 1", {"accepted": "accepted + 1"})


def alter_a_peak(tables: DeltaTables) -> None:
    hour = tables.read("hourly_load").orderBy("hour", "server_ip").limit(1).collect()[0]["hour"]
    update(tables, "hourly_load", F.col("hour") == F.lit(hour), {"peak_load": "peak_load + 0.5"})


def forget_when_a_server_began(tables: DeltaTables) -> None:
    update(tables, "servers", "true", {"first_hour": "first_hour + interval 1 hour"})


def alter_a_feature(tables: DeltaTables) -> None:
    update(tables, "features", "horizon_hours = 48", {"peak_load_lag_72h": "1.25"})


def double_a_forecast(tables: DeltaTables) -> None:
    tables.append("forecasts", tables.read("forecasts").limit(1))


def alter_the_newest_forecasts(tables: DeltaTables) -> None:
    hour = tables.read("forecasts").agg(F.max("issued_hour")).collect()[0][0]
    moved = {"probability_high": "probability_high - 2e-9", "probability_low": "probability_low + 2e-9"}
    update(tables, "forecasts", F.col("issued_hour") == F.lit(hour), moved)


def lose_an_outcome(tables: DeltaTables) -> None:
    first = tables.read("forecast_outcomes").orderBy("issued_hour", "server_ip", "horizon_hours").head()
    names = TABLES["forecast_outcomes"].key
    same = [F.col(name) == F.lit(first[name]) for name in names]
    DeltaTable.forPath(tables.spark, tables.path("forecast_outcomes")).delete(
        same[0] & same[1] & same[2] & same[3] & same[4]
    )


def update(tables: DeltaTables, name: str, condition, values: dict[str, str]) -> None:
    DeltaTable.forPath(tables.spark, tables.path(name)).update(condition, {k: F.expr(v) for k, v in values.items()})


SESSIONS, REFUSED = "sessions of load_windows = accepted", "rows of rejects = rejected"
Faults = dict[Callable[[DeltaTables], None], dict[str, str]]
"""What is done to a home, and the rows that must tell it, each with some of its words."""

ABOVE: Faults = {
    double_a_partial_sum: {
        SESSIONS: "source history, batch_id 0: sessions expected",
        "history: window sums": "window_start 2016-02-23T",
    },
    lose_a_refused_line: {REFUSED: "batch_id 0: refused expected", "history: refused lines": ".csv:"},
    alter_a_feature: {"features": "horizon_hours 48: peak_load_lag_72h expected "},
    double_a_forecast: {"forecasts: each once, revisions without a gap": "rows 2, revisions 1"},
    alter_the_newest_forecasts: {"forecasts: scored again": "found_probability_high "},
    lose_an_outcome: {"forecast_outcomes": "revision 0: missing"},
}
BELOW: Faults = {
    count_a_line_too_many: {
        "read = accepted + rejected + skipped": "batch_id 1: read ",
        SESSIONS: "batch_id 1: sessions expected",
        "history: counts of batches": "batch_id 1: accepted expected",
    },
    alter_a_peak: {"hourly_load": "hour 2016-02-23T00:00:00Z: peak_load expected "},
    forget_when_a_server_began: {"servers": "first_hour expected 2016-02-23T00:00:00Z, found 2016-02-23T01"},
}


@pytest.mark.parametrize(
    ("faults", "parts"),
    [(ABOVE, PARTS), (BELOW, ("history", "load_windows", "hourly_load", "servers"))],
    ids=["above_the_hours", "below_the_hours"],
)
def test_each_fault_is_named_by_its_row_and_by_no_other(
    spark: SparkSession, damaged: Home, faults: Faults, parts: tuple[str, ...]
) -> None:
    for fault in faults:
        fault(damaged.tables(spark))

    code, rows = damaged.verified(*(flag for part in parts for flag in ("--only", part)))

    told = {name: words for of_fault in faults.values() for name, words in of_fault.items()}
    assert differing(rows) == set(told)
    for name, words in told.items():
        assert words in str(rows[name]["detail"])
    assert code == 1


def test_a_batch_in_work_is_no_fault_and_rows_of_one_that_never_was_are(spark: SparkSession, damaged: Home) -> None:
    tables = damaged.tables(spark)
    row = tables.read("load_windows").orderBy("window_start", "server_ip").limit(1)
    tables.append("load_windows", row.withColumn("batch_id", F.lit(3).cast("bigint")))

    code, rows = damaged.verified("--only", "load_windows", "--only", "history")

    of_batches = "rows belong to batches of ingest_log"
    assert (code, differing(rows)) == (0, set())
    assert "history batch 3 is in work or interrupted" in str(rows[of_batches]["detail"])

    tables.append("load_windows", row.withColumn("batch_id", F.lit(4).cast("bigint")))
    code, rows = damaged.verified("--only", "load_windows")
    assert (code, differing(rows)) == (1, {of_batches})


@pytest.fixture
def edited(home: Home) -> Iterator[Path]:
    """The newest file with a line more, until the test is over."""
    file = home.history[-1]
    before, status = file.read_bytes(), file.stat()
    file.write_bytes(before + before[: before.index(b"\n") + 1])
    yield file
    file.write_bytes(before)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_batch_whose_file_has_changed_is_not_checked(home: Home, edited: Path) -> None:
    code, rows = home.verified("--only", "history")

    assert (code, differing(rows)) == (0, set())
    files = rows["history: files are as they were"]
    assert files["compared"] == 2
    assert f"{edited}: changed since it was ingested" in str(files["detail"])
    assert rows["history: counts of batches"]["compared"] == 2


def merge_days(tables: DeltaTables) -> None:
    """Make one row per server, window and source of the days that both batches have, as compacting does."""
    rows = tables.read("load_windows").where("window_start >= '2016-02-29'").withColumn("batch_id", F.lit(None))
    sums = window_sums(rows, "source", "month").withColumns({name: measure(F.col(name)) for name in MEASURES})
    merged = sums.withColumn("batch_id", F.lit(None).cast("bigint"))
    tables.replace("load_windows", merged.select(*TABLES["load_windows"].column_names), "window_start >= '2016-02-29'")


def test_days_that_are_merged_are_compared_as_a_whole(spark: SparkSession, damaged: Home) -> None:
    tables = damaged.tables(spark)
    merge_days(tables)
    assert damaged.verified("--only", "history", "--only", "load_windows")[0] == 0
    newest = tables.read("load_windows").agg(F.max("window_start")).collect()[0][0]
    update(tables, "load_windows", F.col("window_start") == F.lit(newest), {"total_load": "total_load + 0.000001"})

    code, rows = damaged.verified("--only", "history", "--only", "load_windows")

    assert (code, differing(rows)) == (1, {"history: window sums"})
    assert "batch_id nothing: total_load expected" in str(rows["history: window sums"]["detail"])


def test_merged_days_are_not_checked_where_a_batch_cannot_be_read_again(
    spark: SparkSession, damaged: Home, edited: Path
) -> None:
    merge_days(damaged.tables(spark))

    code, rows = damaged.verified("--only", "history")

    assert (code, differing(rows)) == (0, set())
    assert "days that compact has merged" in str(rows["history: window sums"]["detail"])
    assert edited.exists()
