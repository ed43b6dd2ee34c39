"""Reasons of issued forecasts, asked of a small home: the flat model from its registry, features from its tables."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from feature_cases import MONDAY, hourly_table, simulated_hours
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import functions as sf

from serverload.advance.forecasts import IssueRules, scored_forecasts
from serverload.cli import app
from serverload.contracts.errors import InputError, ModelError
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.tables import TABLES
from serverload.model.calibration import Calibration
from serverload.model.decision import Decision
from serverload.store.model_registry import ModelRegistry
from serverload.store.registered_models import DECISION_TAG
from serverload.store.runs import job_run
from serverload.store.table_reader import run_sql

NAME = "serverload-forecast"
DAYS = 12
NEW, STEADY, LATE = "10.0.0.1", "10.0.0.2", "10.0.0.3"

DECISION = Decision(Calibration((0.8, 1.2), (0.1, -0.1)))
RULES = IssueRules((1, 24, 48), 1, 168, min_known_hours=24, low_max=100.0, medium_max=500.0)


@pytest.fixture(scope="module")
def home(spark, fitted, tmp_path_factory) -> Path:
    """Three servers with forecasts for 1, 24 and 48 hours ahead, one of the first's not the model's.

    Data of the last server has changed since.
    """
    folder = tmp_path_factory.mktemp("home")
    registry = ModelRegistry("", NAME, str(folder))
    with job_run(registry.tracking, "train") as run:
        registry.register(fitted, run.run_id, {"feature_set": "full", DECISION_TAG: DECISION.text()})
    hours = simulated_hours(3, DAYS)
    hourly, origin = hourly_table(spark, hours), hour_number(MONDAY) + 24 * DAYS - 1
    servers = hourly.groupBy("server_ip").agg(sf.min("hour").alias("first_hour"))
    servers = servers.withColumn("server_type", sf.lit(1))
    champion = registry.champion()
    issued = scored_forecasts(hourly, servers, champion, champion.decision, [origin], RULES)
    of_new = (sf.col("server_ip") == NEW) & (sf.col("horizon_hours") == 48)
    basis = sf.when(of_new, "climatology").otherwise(sf.col("basis"))
    put(folder, "forecasts", issued.withColumn("basis", basis).toArrow())
    put(folder, "servers", servers.toArrow())
    late = (pl.col("server_ip") == LATE) & (pl.col("hour") == hour_start(origin))
    load = pl.when(late).then(5.0).otherwise("peak_load").alias("peak_load")
    month = pl.col("hour").dt.strftime("%Y-%m").alias("month")
    put(folder, "hourly_load", hours.with_columns(load, month).to_arrow(compat_level=pl.CompatLevel.oldest()))
    return folder


def put(home: Path, name: str, rows: pa.Table) -> None:
    write_deltalake(f"{home}/tables/{name}", rows, partition_by=list(TABLES[name].partition_by) or None)


def told(capsys, home: Path, *arguments: str) -> tuple[pl.DataFrame, str]:
    """What `forecasts --reasons` prints as JSON, and on stderr."""
    app(["forecasts", "--home", str(home), "--reasons", "--format", "json", *arguments], standalone_mode=False)
    out, err = capsys.readouterr()
    return pl.DataFrame(json.loads(out), infer_schema_length=None), err


def test_the_reasons_of_each_coming_hour_are_told_without_java(home, tmp_path):
    asked = ["forecasts", "--home", str(home), "--server", STEADY, "--reasons", "--format", "csv"]
    environment = os.environ | {"JAVA_HOME": str(tmp_path), "PATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-m", "serverload", *asked], capture_output=True, env=environment, timeout=120
    )
    by_hour = pl.read_csv(ran.stdout).group_by("target_hour", maintain_order=True)

    rows = by_hour.agg("feature", pl.col("contribution").sum(), pl.col("issued_probability", "data_changed").first())

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert rows["target_hour"].to_list() == ["2016-06-18T00:00:00Z", "2016-06-18T23:00:00Z", "2016-06-19T23:00:00Z"]
    assert [(names[0], *names[-2:]) for names in rows["feature"]] == [("base", "other features", "calibration")] * 3
    assert rows["contribution"].to_list() == pytest.approx(rows["issued_probability"].to_list(), abs=1e-9)
    assert rows["data_changed"].to_list() == [False] * 3


def test_the_largest_reasons_come_first_and_have_the_value_that_the_table_has(home, capsys):
    rows, _err = told(capsys, home, "--server", STEADY, "--at", "2016-06-18T00:30")

    sizes = rows["contribution"].abs().to_list()[1:-2]
    assert sizes == sorted(sizes, reverse=True)
    assert rows["target_hour"].unique().to_list() == ["2016-06-18T00:00:00Z"]
    (week,) = rows.filter(pl.col("feature") == "mean_7d_peak_load")["value"]
    days = "hour >= '2016-06-10 00:00Z' and hour < '2016-06-17 00:00Z'"
    # its idle hours count, as 0
    query = f"select sum(peak_load) / 168 from hourly_load where server_ip = '{STEADY}' and {days}"
    assert week == pytest.approx(run_sql(str(home), query)[0][0].as_py(), abs=1e-9)


def test_late_data_since_is_told_and_not_hidden(home, capsys):
    rows, err = told(capsys, home, "--server", LATE)

    apart = (rows["probability"] - rows["issued_probability"]).abs() > 1e-9
    assert rows["data_changed"].to_list() == apart.to_list()
    changed = rows.filter("data_changed")["target_hour"].n_unique()
    assert changed > 0
    assert err.startswith(f"{changed} of 3 forecasts would be others now: late data has changed what they were made")


def test_forecasts_that_are_not_the_models_are_counted_and_have_no_reasons(home, capsys):
    rows, err = told(capsys, home, "--server", NEW)

    assert rows["horizon_hours"].unique().sort().to_list() == [1, 24]
    assert err == "1 of 3 forecasts rest on no model and have no reasons (basis)\n"


def test_what_cannot_be_told_is_one_line(home, capsys):
    for arguments, line in (
        (["--at", "2016-06-25"], f"no forecasts of {STEADY} for that time; `serverload status`"),
        (["--server", NEW, "--at", "2016-06-19T23:00"], "reasons: no forecast there rests on the model: too little"),
        (["--server", "10.9.9.9"], "no forecasts for server 10.9.9.9; it is not in table servers"),
    ):
        with pytest.raises(InputError, match=line):
            told(capsys, home, "--server", STEADY, *arguments)


def without_flat_model(folder: Path) -> None:
    shutil.rmtree(folder)


def with_damaged_arrays(folder: Path) -> None:
    (folder / "model.npz").write_bytes((folder / "model.npz").read_bytes()[:-1])


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (without_flat_model, "there is no flat model: it was registered by an older serverload, or its files are gone"),
        (with_damaged_arrays, "the flat model is damaged: model.npz has another checksum than facts.json tells"),
    ],
)
def test_a_version_without_its_flat_model_is_named_in_one_line(home, tmp_path, capsys, harm, line):
    (folder,) = home.glob("mlartifacts/*/artifacts/*/flat")
    shutil.copytree(folder, tmp_path / "kept")
    harm(folder)
    try:
        with pytest.raises(ModelError) as caught:
            told(capsys, home, "--server", STEADY)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(tmp_path / "kept", folder)

    assert str(caught.value).startswith(f"{NAME} version 1: {line}; ")
    assert "serverload train" in str(caught.value)


def test_a_pipeline_that_cannot_be_laid_flat_is_registered_and_the_reason_kept(spark, tmp_path, caplog):
    registry = ModelRegistry("", NAME, str(tmp_path))
    with job_run(registry.tracking, "train") as run:
        pipeline = PipelineModel([SQLTransformer(statement="SELECT *, 1 AS one FROM __THIS__")])
        registry.register(pipeline, run.run_id, {})

    with pytest.raises(ModelError) as caught:
        registry.flat("1")

    reason = "the pipeline cannot be laid flat: its stages are SQLTransformer"
    assert str(caught.value) == f"{NAME} version 1: there is no flat model: {reason}"
    assert caplog.messages == [f"no reasons can be given for its forecasts: {reason}"]
