"""`POST /score` beside what Spark issues from the same hours: the same classes, probabilities, bases and sets."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from feature_cases import MONDAY, hourly_table, simulated_hours
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf
from starlette.testclient import TestClient

from serverload.advance.adaptive_sets import AdaptiveSets
from serverload.advance.forecasts import IssueRules, scored_forecasts
from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.settings import load_settings
from serverload.contracts.tables import TABLES
from serverload.model import prediction_sets
from serverload.model.calibration import Calibration
from serverload.model.decision import Decision
from serverload.model.flat_export import flat_forest
from serverload.model.flat_files import save_flat
from serverload.store.delta_tables import DeltaTables
from serving.app import make_app
from serving.champion import ServedModel
from serving.standing import PlacedModel, Standing, leave

DAYS = 45
ORIGIN = hour_number(MONDAY) + 24 * DAYS - 1
SETS = {"": (0.3, 0.3, 0.3), "1": (0.1, 0.4, 0.4)}
DECISION = Decision(Calibration((0.8, 1.2), (0.1, -0.1)), ((0, 1, 2), (1, 0, 1), (2.5, 1.25, 0)), 0.9, SETS)
RULES = IssueRules(tuple(range(1, 49)), 1, 168, min_known_hours=24, low_max=100.0, medium_max=500.0)
SILENT = [ORIGIN - 300, ORIGIN - 299, ORIGIN - 40]
NEW, NEWEST, BACK, GONE = "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.6"


@dataclass(frozen=True)
class Registered:
    """What scoring asks of a registered model."""

    fitted: PipelineModel
    name: str = "serverload-forecast"
    version: str = "1"
    decision: Decision = DECISION
    only_horizons: None = None

    def pipeline(self) -> PipelineModel:
        return self.fitted


@pytest.fixture(scope="module")
def hours() -> pl.DataFrame:
    """Six servers: one known for 30 hours, one for 5, one back for 10, one gone for 8 days; hours silent for all."""
    drawn, of, hour = simulated_hours(6, DAYS), pl.col("server_ip"), pl.col("hour")
    since = {NEW: 30, NEWEST: 5}
    kept = ~hour.is_in([hour_start(each) for each in SILENT])
    for server, count in since.items():
        kept &= (of != server) | (hour > hour_start(ORIGIN - count))
    kept &= (of != BACK) | (hour < hour_start(ORIGIN - 400)) | (hour > hour_start(ORIGIN - 10))
    kept &= (of != GONE) | (hour < hour_start(ORIGIN - 190))
    return drawn.filter(kept)


@pytest.fixture(scope="module")
def issued(spark, fitted, hours) -> pl.DataFrame:
    """What Spark issues."""
    hourly = hourly_table(spark, hours)
    rows = scored_forecasts(hourly, servers_of(hourly), Registered(fitted), DECISION, [ORIGIN], RULES)
    return pl.DataFrame(pl.from_arrow(rows.toArrow())).sort("server_ip", "horizon_hours")


def servers_of(hourly: DataFrame) -> DataFrame:
    kind = sf.when(sf.col("server_ip") != NEW, sf.substring("server_ip", -1, 1).cast("int") % 3)
    return hourly.groupBy("server_ip").agg(sf.min("hour").alias("first_hour")).withColumn("server_type", kind)


@pytest.fixture(scope="module")
def shared(fitted, tmp_path_factory) -> Path:
    """The model laid flat and left for the service."""
    folder = tmp_path_factory.mktemp("shared")
    fitted.save(str(folder / "pipeline"))
    (folder / "flat").mkdir()
    save_flat(replace(flat_forest(folder / "pipeline"), decision=DECISION), folder / "flat")
    leave(Standing(PlacedModel("serverload-forecast", "1", "flat", None), "", time.time()), folder)
    return folder


@pytest.fixture(scope="module")
def client(shared, tmp_path_factory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    settings = load_settings(flags={"home": str(home)})
    with TestClient(make_app(settings, shared), base_url="http://localhost") as client:
        yield client


def history(hours: pl.DataFrame, server: str) -> dict[str, object]:
    """A server's hours as a caller tells them: from the first on, null without sessions."""
    rows = hours.filter(pl.col("server_ip") == server)
    first, last = rows["hour"].min(), rows["hour"].max()
    grid = pl.DataFrame({"hour": pl.datetime_range(first, last, "1h", eager=True)})
    dense = grid.join(rows, on="hour", how="left", maintain_order="left")
    told = {"server": server, "first_hour": told_hour(first), **{peak: dense[peak].to_list() for peak in PEAKS}}
    return told if server == NEW else told | {"server_type": int(server[-1]) % 3}


def told_hour(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def test_histories_are_scored_as_the_stream_scores_them(client, hours, issued):
    names = hours["server_ip"].unique().sort().to_list()
    silent = [told_hour(hour_start(each)) for each in SILENT]

    answer = client.post("/score", json={"servers": [history(hours, name) for name in names], "silent_hours": silent})

    assert answer.status_code == 200
    assert answer.json()["without_forecast"] == [GONE]
    rows = pl.DataFrame(answer.json()["forecasts"], infer_schema_length=None).sort("server_ip", "horizon_hours")
    assert rows["basis"].unique().sort().to_list() == ["climatology", "model", "none"]
    for name in ("server_ip", "horizon_hours", "workload_class", "basis", "prediction_set"):
        assert rows[name].to_list() == issued[name].to_list(), name
    for name in ("issued_hour", "target_hour"):
        assert rows[name].to_list() == issued[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_list()
    for name in ("probability_low", "probability_medium", "probability_high"):
        assert np.allclose(rows[name].to_numpy(), issued[name].to_numpy(), rtol=0, atol=1e-9, equal_nan=True)


def test_an_earlier_origin_looks_at_nothing_later(client, hours):
    told = history(hours, "10.0.0.1")
    cut = {name: each[:-10] if isinstance(each, list) else each for name, each in told.items()}

    scored = [
        client.post("/score", json={"servers": [each], "origin": told_hour(hour_start(ORIGIN - 10)), "reasons": 3})
        for each in (told, cut)
    ]

    assert scored[0].status_code == 200
    assert scored[0].json() == scored[1].json()


def test_the_thresholds_of_a_day_are_those_of_the_stream(spark, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_sets, "MOST_ROWS", 4_000)  # of 6,000
    tables = DeltaTables(spark, str(tmp_path))
    random, count, day = np.random.default_rng(3), 6000, hour_start(ORIGIN).date()
    classes = random.choice(["low", "medium", "high"], count)
    keys = {"server_ip": [f"10.0.0.{n % 5}" for n in range(count)], "horizon_hours": [1 + n % 48 for n in range(count)]}
    when = [hour_start(ORIGIN - 30 - n // 20) for n in range(count)]
    rows = {
        **keys, "issued_hour": when, "target_date": [(each + timedelta(hours=1)).date() for each in when],
        "model_version": ["1" if n % 7 else "2" for n in range(count)], "revision": [n % 3 for n in range(count)],
        "outcome_revision": [n % 2 for n in range(count)], "actual_class": classes,
        "probability_of_actual": random.beta(3, 1, count),
    }  # fmt: skip
    empty = spark.createDataFrame([], TABLES["forecast_outcomes"].ddl).toArrow().schema
    filled = pl.DataFrame(rows).to_arrow().to_pylist()
    write_deltalake(f"{tmp_path}/tables/forecast_outcomes", pa.Table.from_pylist(filled, schema=empty))
    kinds = spark.createDataFrame([(f"10.0.0.{n}", n % 2) for n in range(5)], "server_ip string, server_type int")
    write_deltalake(f"{tmp_path}/tables/servers", kinds.toArrow())
    service = make_app(load_settings(flags={"home": str(tmp_path)}), shared).state.service
    service.champion.look()
    model: ServedModel = service.champion.model

    ours = service.decision(model, day)

    assert ours == AdaptiveSets(tables).decision("1", DECISION, ORIGIN)
    assert set(ours.thresholds) >= {"", "1"}
    assert ours.thresholds != DECISION.thresholds
