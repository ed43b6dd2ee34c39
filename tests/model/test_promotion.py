"""`promote` on a small simulated home: what is judged, refused, accepted and forced, as the command does it."""

from datetime import timedelta

import polars as pl
import pytest
from feature_cases import MONDAY, features_of, hourly_table, simulated_hours
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch.judgement import judged_rows
from serverload.cli import app
from serverload.contracts.errors import ModelError
from serverload.contracts.settings import load_settings
from serverload.model.pipeline import forest_pipeline
from serverload.store.delta_tables import DeltaTables
from serverload.store.model_registry import ModelRegistry, RegisteredModel
from serverload.store.registered_models import CHALLENGER, CHAMPION, PREVIOUS
from serverload.store.runs import compare_runs, job_run, list_runs

NAME = "serverload-forecast"
SERVERS, DAYS, UNSEEN_DAYS = 3, 14, 4
UNSEEN = MONDAY + timedelta(days=DAYS - UNSEEN_DAYS)
FACTS = {"feature_set": "full", "training_horizons": "6,48", "test_start": f"{UNSEEN:%Y-%m-%dT%H:%MZ}"}


@pytest.fixture(scope="module")
def tables(spark, tmp_path_factory) -> DeltaTables:
    """Features of three servers for two whole weeks and six hours; from the second Tuesday on with thrice the load."""
    made = DeltaTables(spark, str(tmp_path_factory.mktemp("home")))
    hour, load = pl.col("hour"), pl.col("peak_load")
    hours = simulated_hours(SERVERS, DAYS + 1).filter(hour < MONDAY + timedelta(days=DAYS, hours=6))
    shifted = hours.with_columns(pl.when(hour < MONDAY + timedelta(days=8)).then(load).otherwise(load * 3))
    hourly = hourly_table(spark, shifted)
    made.replace("features", features_of(hourly, (6, 48)), None)
    return made


@pytest.fixture(scope="module")
def registry(tables) -> ModelRegistry:
    """A stump as champion, the same stump again, and a forest as challenger."""
    registry = ModelRegistry("", NAME, tables.home)
    before = tables.read("features").where(sf.col("target_hour") < sf.lit(UNSEEN)).coalesce(1).cache()
    stump, forest = (fitted(before, trees, depth) for trees, depth in ((1, 1), (10, 5)))
    for model in (stump, stump, forest):
        with job_run(registry.tracking, "train") as run:
            registry.register(model, run.run_id, FACTS)
    return registry


def fitted(rows: DataFrame, trees: int, depth: int):
    return forest_pipeline("full", trees=trees, depth=depth, seed=42).fit(rows)


def aliases(registry: ModelRegistry) -> dict[str, str]:
    return {alias: each.version for each in registry.versions() for alias in each.aliases}


@pytest.fixture
def promote(registry, monkeypatch):
    """Run `serverload promote` on the home, judging by as many days as there are; the stump says high too readily."""
    monkeypatch.setenv("SERVERLOAD_MODEL__TRAINING_HORIZONS", "6,48")
    monkeypatch.setenv("SERVERLOAD_PROMOTION__LEAST_DAYS", str(UNSEEN_DAYS))
    monkeypatch.setenv("SERVERLOAD_PROMOTION__MAX_HIGH_RECALL_LOSS", "0.1")
    return lambda *flags: app(["promote", "--home", registry.tracking.home, *flags], standalone_mode=False)


def noted(registry: ModelRegistry) -> dict[str, str]:
    """What the newest run has noted."""
    run = list_runs(registry.tracking, limit=1)[0].run
    return {row["name"]: row[run] for row in compare_runs(registry.tracking, [run])}


def test_a_challenger_no_better_than_the_champion_is_refused_and_nothing_moves(registry, promote, capsys):
    before = aliases(registry)

    with pytest.raises(
        ModelError, match=r"version 2 is not promoted: .*RPS \S+, asked: lower than the champion's"
    ) as caught:
        promote("--version", "2", "--format", "csv")

    assert "\n" not in str(caught.value)
    assert aliases(registry) == before == {CHAMPION: "1", CHALLENGER: "3"}
    assert registry.version("2").moves == ()
    header, days, *checks = capsys.readouterr().out.splitlines()
    assert header == "check,challenger,champion,bound,ok"
    assert days == "days that neither has seen,4,,>= 4,ok"
    missed = {check.partition(",")[0] for check in checks if check.endswith(",NO")}
    # a stump: better than saying nothing, worse than what the hour of the week tells
    assert missed >= {"RPS", "gain in RPS over climatology"}
    assert not missed & {"gain in RPS over majority", "gain in RPS over the champion", "macro-F1", "recall of high"}
    run = noted(registry)
    assert (run["serverload.verdict"], run["version"], run["champion"]) == ("refused", "2", "1")
    assert run["rps_gain"] == "0"
    # three servers, four days, two horizons
    assert run["rows"] == str(3 * 24 * 4 * 2)


def test_a_better_challenger_is_promoted_then_rolled_back_then_forced(registry, promote, capsys, monkeypatch):
    promote()

    assert aliases(registry) == {CHAMPION: "3", PREVIOUS: "1"}
    (row,) = list_runs(registry.tracking, limit=1)
    assert (row.job, row.status, row.model_version) == ("promote", "FINISHED", "3")
    run = noted(registry)
    assert (run["serverload.verdict"], run["serverload.reasons"]) == ("promoted", "")
    assert float(run["challenger_rps"]) + float(run["rps_gain"]) == pytest.approx(float(run["champion_rps"]), abs=1e-6)
    assert 0 < float(run["rps_gain_low"]) < float(run["rps_gain"])
    assert registry.champion().moves[0].why.startswith("passed every check (run ")
    assert "version 3 is champion, version 1 is previous" in capsys.readouterr().err

    app(["rollback", "--home", registry.tracking.home, "--why", "a test"], standalone_mode=False)
    assert aliases(registry) == {CHAMPION: "1"}
    monkeypatch.setenv("SERVERLOAD_PROMOTION__LEAST_DAYS", "5")
    with pytest.raises(ModelError, match="not promoted: days that neither has seen 4, asked: >= 5; "):
        promote("--version", "3")
    assert aliases(registry) == {CHAMPION: "1"}
    promote("--version", "3", "--force")

    assert aliases(registry) == {CHAMPION: "3", PREVIOUS: "1"}
    assert (noted(registry)["serverload.verdict"], noted(registry)["force"]) == ("forced", "True")
    why = registry.champion().moves[-1].why
    assert why.startswith("forced, although days that neither has seen 4, asked: >= 5 (run ")


def test_a_version_that_has_learned_other_classes_is_not_promoted_even_by_force(registry, promote):
    client = registry.tracking.client()
    client.set_model_version_tag(NAME, "2", "low_max", "50")
    with pytest.raises(ModelError, match="version 2: it has learned other classes"):
        promote("--version", "2", "--force")
    client.delete_model_version_tag(NAME, "2", "low_max")


def version_of(registry: ModelRegistry, **facts: str) -> RegisteredModel:
    return RegisteredModel(NAME, "9", "", FACTS | facts, (), MONDAY, registry)


def test_only_days_that_neither_has_seen_are_judged_at_horizons_that_both_forecast(tables, registry):
    settings = load_settings("local", {"home": tables.home, "model": {"training_horizons": "6,48"}})
    later = version_of(registry, test_start="2016-06-18T00:00Z", feature_set="article", training_horizons="48")

    judged = judged_rows(tables, [version_of(registry), later], settings)

    # from the later one's first unseen day to the newest whole one, of fourteen from 2016-06-06 on
    assert (judged.start, judged.end, judged.days) == (MONDAY + timedelta(days=12), MONDAY + timedelta(days=14), 2)
    assert judged.count == 3 * 24 * 2
    assert judged.before.where(sf.col("target_hour") >= sf.lit(judged.start)).isEmpty()
    seen_all = version_of(registry, test_start="2016-07-01T00:00Z")
    assert judged_rows(tables, [seen_all, later], settings).days == 0
    other = version_of(registry, feature_set="article", training_horizons="24")
    assert judged_rows(tables, [other, later], settings).days == 0


def test_a_version_that_does_not_tell_what_it_has_seen_is_one_line(tables, registry):
    settings = load_settings("local", {"home": tables.home})

    with pytest.raises(ModelError, match="version 9 does not tell the days that it has not seen"):
        judged_rows(tables, [version_of(registry, test_start="")], settings)


def test_without_a_challenger_promote_says_what_to_do_before_spark_is_asked(tmp_path):
    with pytest.raises(ModelError, match="there is no challenger; `serverload train` registers one"):
        app(["promote", "--home", str(tmp_path)], standalone_mode=False)

    assert list(tmp_path.iterdir()) == []
