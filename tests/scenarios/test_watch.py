"""Shadows and automatic rollback: a promotion that was none, and one that was a mistake, on a real registry."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from advance_cases import FIRST, NOW, SERVERS, add_hours
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from batch.features import update_features
from serverload.advance import Advance
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.contracts.tables import TABLES
from serverload.model.pipeline import forest_pipeline
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry
from serverload.store.quality import quality
from serverload.store.runs import job_run
from serverload.store.status import status
from serverload.store.table_reader import run_sql
from streaming.watch import ChampionWatch

HOURS = 96
HORIZONS = (1, 6)


def settings_for(home: Path, **watch: object) -> Settings:
    bounds = {"rollback_days": 7, "least_days": 3, "least_forecasts": 300, **watch}
    forecast = {"horizons": ",".join(map(str, HORIZONS)), "catch_up_hours": HOURS}
    model = {"training_horizons": "1,6"}
    return load_settings(flags={"home": str(home), "model": model, "forecast": forecast, "watch": bounds})


class Fleet:
    """A home with a registry, driven as a stream drives it: four days close, then the watch looks."""

    def __init__(self, tables: DeltaTables, settings: Settings) -> None:
        self.tables, self.settings = tables, settings
        self.registry = ModelRegistry("", settings.model.name, tables.home)
        self.told = list[tuple[str, str | None]]()
        self.now = NOW
        add_hours(tables, FIRST, NOW)
        Advance(tables, settings).run()
        update_features(tables, settings, Silent())

    def register(self, model: PipelineModel) -> str:
        with job_run(self.registry.tracking, "train") as run:
            return self.registry.register(model, run.run_id, {"feature_set": "full"}).version

    def four_days(self, settings: Settings | None = None) -> str:
        """Let them close and look; the champion's version after it."""
        add_hours(self.tables, self.now, self.now + HOURS)
        self.now += HOURS
        watch = self.watch(settings or self.settings)
        champion = self.registry.champion()
        done = Advance(self.tables, self.settings).run(lambda: champion, self.registry.version)
        watch.follow(done.issued, done.closed_hour, champion.version)
        return self.registry.champion().version

    def watch(self, settings: Settings, registry: ModelRegistry | None = None) -> ChampionWatch:
        return ChampionWatch(self.tables, settings, registry or self.registry, self._tell)

    def look(self, registry: ModelRegistry) -> None:
        self.watch(self.settings, registry).follow([], self.now - 2, None)

    def troubles(self) -> list[str]:
        facts = status(self.tables.home, now=datetime.now(UTC), allowed_lateness_minutes=10)
        return [name for name, told in facts.items() if name.endswith("_trouble") and told]

    def _tell(self, event: str, version: str | None, why: str) -> None:
        self.told.append((event, version))
        row = (datetime.now(UTC), None, event, version, why)
        self.tables.append("stream_log", self.tables.spark.createDataFrame([row], TABLES["stream_log"].ddl))

    def shadows(self) -> list[tuple[str, int]]:
        query = "select model_version, count(*) as rows from shadow_forecasts group by 1 order by 1"
        return [(row["model_version"], row["rows"]) for row in run_sql(self.tables.home, query).to_pylist()]


class PowerCut(BaseException):
    """The end of a process."""


class CutRegistry(ModelRegistry):
    """Its process ends before an alias is moved."""

    def _point(self, _alias: str, _version: str) -> None:
        raise PowerCut


@contextmanager
def writing(home: str) -> Iterator[None]:
    """Let another process be writing to the registry all the time."""
    with closing(sqlite3.connect(Path(home, "mlflow.db"), isolation_level=None)) as other:
        other.execute("begin immediate")
        yield


@pytest.fixture(scope="module")
def fleet(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    home = tmp_path_factory.mktemp("home")
    return Fleet(DeltaTables(spark, str(home)), settings_for(home))


def test_an_equal_champion_stays_and_a_worse_one_gives_way_to_the_one_before(fleet: Fleet) -> None:
    features = fleet.tables.read("features").where("label is not null").coalesce(1).cache()
    good = forest_pipeline("full", trees=10, depth=5, seed=1).fit(features)
    low_is_high = sf.when(sf.col("label") == "low", "high").when(sf.col("label") == "high", "low").otherwise("medium")
    bad = forest_pipeline("full", trees=10, depth=5, seed=1).fit(features.withColumn("label", low_is_high))
    rows_of_four_days = HOURS * len(SERVERS) * len(HORIZONS)

    first = fleet.register(good)
    assert fleet.four_days() == first
    assert fleet.shadows() == []  # no champion before it, and a challenger runs in shadow only if that is set

    second = fleet.register(good)
    fleet.registry.promote(second, "a test")
    assert fleet.four_days() == second
    assert fleet.shadows() == [(first, rows_of_four_days)]

    third = fleet.register(bad)
    fleet.registry.promote(third, "a mistake")
    with writing(fleet.tables.home):
        assert fleet.four_days() == third
    assert fleet.told == [("shadow_taken", first), ("shadow_taken", second), ("rollback_failed", None)]
    assert fleet.troubles() == ["rollback_trouble"]
    with pytest.raises(PowerCut):
        fleet.look(CutRegistry("", fleet.registry.name, fleet.tables.home))
    assert fleet.registry.champion().version == third
    fleet.look(fleet.registry)
    assert fleet.registry.champion().version == second
    assert fleet.told[3:] == [("model_rolled_back", third), ("rollback_works", None)]
    assert fleet.troubles() == []
    assert [move.event for move in fleet.registry.version(third).moves] == ["promoted", "rolled_back"]
    assert "matured forecasts of 3 days" in fleet.registry.version(third).moves[-1].why

    by_model = {(row["role"], row["model"]): row for row in quality(fleet.tables.home, days=14, by="model").to_pylist()}
    equal, better = by_model["shadow", first], by_model["shadow", second]
    assert equal["rps"] == pytest.approx(equal["issued_rps"], abs=1e-12)
    assert better["rps"] < better["issued_rps"] / 2


def test_a_challenger_runs_in_shadow_if_set_and_a_broken_one_is_told_and_left_out(fleet: Fleet, tmp_path: Path) -> None:
    fleet.told.clear()
    before = dict(fleet.shadows())
    features = fleet.tables.read("features").where("label is not null").coalesce(1).cache()
    challenger = fleet.register(forest_pipeline("full", trees=2, depth=2, seed=1).fit(features))
    with_shadow = settings_for(tmp_path, shadow=True)

    fleet.four_days(with_shadow)  # nobody is on probation any more
    assert dict(fleet.shadows()) == before | {challenger: HOURS * len(SERVERS) * len(HORIZONS)}

    broken = fleet.register(PipelineModel([SQLTransformer(statement="SELECT *, moon AS wanted FROM __THIS__")]))
    watch = fleet.watch(with_shadow)
    assert [watch.shadows(fleet.now, None), watch.shadows(fleet.now, None)] == [[], []]
    assert fleet.told == [("shadow_taken", challenger), ("shadow_refused", broken)]
    assert fleet.troubles() == ["shadow_trouble"]
    fleet.four_days(settings_for(tmp_path))
    assert fleet.told[2:] == [("shadow_ended", None)]
    assert fleet.troubles() == []


def test_after_its_days_a_champion_is_compared_no_more(fleet: Fleet, tmp_path: Path) -> None:
    fleet.registry.promote(fleet.register(PipelineModel([])), "never issues")
    closed = fleet.now - 2
    watch = fleet.watch(settings_for(tmp_path))
    (before,) = [model.version for model in watch.shadows(closed, None)]
    assert watch.shadows(closed, before) == []
    assert fleet.watch(settings_for(tmp_path, rollback_days=0)).shadows(closed, None) == []

    fleet.registry.rollback("for the test")
    rolled_back = fleet.registry.versions()[0].version
    fleet.registry.promote(rolled_back, "by people who know better")
    assert fleet.watch(settings_for(tmp_path)).shadows(closed, None) == []

    fleet.registry.promote(before, "back by hand")  # which has issued for days
    assert fleet.watch(settings_for(tmp_path, rollback_days=5)).shadows(closed, None) == []
