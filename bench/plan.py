"""Advice: how often it would have held on generated sessions, and how long it takes for a thousand servers.

`python -m bench.plan [SERVERS] [NOISE]`: a history and a model that has not seen its newest 14 days; forecasts of these
days as the stream issues them, one plan a day; then drawn tables of 1,000 servers.
"""

import json
import math
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from deltalake import write_deltalake

from batch.backfill import backfill
from batch.features import update_features
from batch.train import train
from producers.synthetic import generate_history
from serverload.advance import Advance
from serverload.advance.forecasts import IssueRules, issue_forecasts
from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import hour_number
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.planning.outlook import Floats
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.model_registry import ModelRegistry
from serverload.store.plan import PlanRules, plan, replayed_plans
from serverload.store.session import spark_session

DAYS, TEST_DAYS, START, SESSIONS_PER_HOUR = 63, 14, date(2016, 4, 1), 12.0
FLEET, NOISE_SD = 1000, 0.3


def learned_home(settings: Settings, folder: Path, servers: int, noise: str) -> None:
    """Backfill, train, and issue forecasts once a day of the days that the model has not learned from."""
    made = generate_history(
        folder / "sessions", servers=servers, days=DAYS, start=START, seed=1, dirty=0.01, noise=noise,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )  # fmt: skip
    spark = spark_session("bench", master="local[2]", driver_memory="3g", jars=spark_jars())
    tables, registry = DeltaTables(spark, settings.home), ModelRegistry("", settings.model.name, settings.home)
    backfill(tables, settings.ingest, [str(file) for file in made.files], Silent())
    Advance(tables, settings).run()
    update_features(tables, settings, Silent())
    champion = train(tables, settings, registry, Silent()).model
    first = hour_number(datetime.combine(START, datetime.min.time(), UTC)) + 24 * (DAYS - TEST_DAYS) - 1
    origins = range(first, first + 24 * (TEST_DAYS - 1) + 1, 24)
    issue_forecasts(tables, champion, champion.decision, origins, IssueRules.of(settings))
    spark.stop()


def drawn_fleet(home: Path) -> None:
    """Tables of a thousand servers: 28 days of hours, and forecasts from the load that is usual at the hour."""
    random, now = np.random.default_rng(5), datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    names = np.array([f"10.0.{number // 250}.{number % 250}" for number in range(FLEET)])
    hours = np.arange(-24 * 28 + 1, 49)
    usual = random.normal(3.6, 1.2, FLEET)[:, None] + random.uniform(0, 0.8, FLEET)[:, None] * np.sin(hours / 24 * 6.28)
    loads = np.exp(usual + random.normal(0, NOISE_SD, usual.shape))
    low, not_high = (_up_to(bound, usual[:, -48:]) for bound in (100, 500))
    chances = np.stack([low, not_high - low, 1 - not_high], axis=2)
    past = pl.DataFrame({"server_ip": np.repeat(names, 672), "hour": np.tile(hours[:672], FLEET)}).with_columns(
        hour=pl.lit(now) + pl.duration(hours="hour"),
        sessions=pl.lit(1),
        **{peak: loads[:, :672].ravel() for peak in PEAKS},
    )
    issued = pl.DataFrame({"server_ip": np.repeat(names, 48), "horizon_hours": np.tile(np.arange(1, 49), FLEET)})
    told = {f"probability_{name}": chances[:, :, index].ravel() for index, name in enumerate(CLASSES)}
    said = np.array(CLASSES)[chances.argmax(axis=2).ravel()]
    same = {"issued_hour": now, "issued_at": now, "revision": 0, "basis": "model", "model_version": "1"}
    target = pl.lit(now) + pl.duration(hours="horizon_hours")
    issued = issued.with_columns(
        workload_class=said, target_hour=target, target_date=target.dt.date(), **told,
        **{name: pl.lit(entry) for name, entry in same.items()},
    )  # fmt: skip
    first = now - timedelta(days=28)
    servers = pl.DataFrame({"server_ip": names, "server_type": np.arange(FLEET) % 6}).with_columns(first_hour=first)
    months = past.with_columns(month=pl.col("hour").dt.strftime("%Y-%m"))
    write_deltalake(f"{home}/tables/hourly_load", months.to_arrow(), partition_by=["month"])
    write_deltalake(f"{home}/tables/forecasts", issued.to_arrow(), partition_by=["target_date"])
    write_deltalake(f"{home}/tables/servers", servers.to_arrow())


def _up_to(bound: float, usual: Floats) -> Floats:
    """Chance of a load up to a bound."""
    error = np.vectorize(math.erf)((math.log(bound) - usual) / NOISE_SD / math.sqrt(2))
    return np.asarray((1 + error) / 2)


def main() -> None:
    """Print how advice has held and the seconds of a plan; write bench/out/plan.json."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    noise = sys.argv[2] if len(sys.argv) > 2 else "medium"
    told: dict[str, object] = {"servers": servers, "noise": noise}
    with tempfile.TemporaryDirectory(prefix="bench-plan-") as scratch:
        settings = load_settings(
            flags={"home": f"{scratch}/home", "model": {"max_training_rows": 200_000, "test_days": TEST_DAYS}}
        )
        learned_home(settings, Path(scratch), servers, noise)
        rules = PlanRules.of(settings)
        told["replay"] = replayed_plans(settings.home, rules, days=TEST_DAYS, step_hours=24).to_pylist()
        fleet = dict.fromkeys(_names(settings.home), "fleet")
        told["replay_as_one_group"] = replayed_plans(
            settings.home, rules, groups=fleet, days=TEST_DAYS, step_hours=24
        ).to_pylist()
        drawn_fleet(Path(scratch, "fleet"))
        for attempt in ("first", "again"):
            begun = time.perf_counter()
            made = plan(f"{scratch}/fleet", rules)
            told[f"seconds_{attempt}"] = round(time.perf_counter() - begun, 3)
        told["advice"] = dict(made.advice["advice"].value_counts().rows())
    print(json.dumps(told, indent=1))
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / f"plan-{noise}.json").write_text(json.dumps(told, indent=1))


def _names(home: str) -> list[str]:
    return list(pl.read_delta(f"{home}/tables/servers")["server_ip"])


if __name__ == "__main__":
    main()
