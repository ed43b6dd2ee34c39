"""Advice: how often it would have held on generated sessions, and how long it takes for a thousand servers.

`python -m bench.plan [SERVERS] [NOISE]`: first without Spark, a fleet whose forecasts are its true probabilities: what
the arithmetic assumes of loads, hours and servers is on trial alone. Then a history, and a model that has not seen its
newest 14 days: forecasts of these days as the stream issues them. A plan a day each time, within server types and with
all servers as one group. Last, the seconds of a plan for 1,000 servers. `truth` behind NOISE leaves the model out.
"""

import json
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
from deltalake import write_deltalake

from bench.measuring import keep
from producers.fleet import fleet
from producers.load_model import LoadModel
from producers.synthetic import Noise, generate_history
from producers.truth import Truth
from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.model.flat_forecasts import cheapest
from serverload.store.plan import PlanRules, plan
from serverload.store.plan_replay import replayed_plans

DAYS, TEST_DAYS, START, SESSIONS_PER_HOUR = 63, 14, date(2016, 4, 1), 12.0
FIRST_ORIGIN = hour_number(datetime.combine(START, datetime.min.time(), UTC)) + 24 * (DAYS - TEST_DAYS) - 1
ORIGINS = range(FIRST_ORIGIN, FIRST_ORIGIN + 24 * (TEST_DAYS - 1) + 1, 24)
FLEET = 1000


def learned_home(settings: Settings, folder: Path, servers: int, noise: Noise) -> None:
    """Backfill, train, and issue forecasts once a day of the days that the model has not learned from."""
    from batch.backfill import backfill
    from batch.features import update_features
    from batch.train import train
    from serverload.advance import Advance
    from serverload.advance.forecasts import IssueRules, issue_forecasts
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.jars import spark_jars
    from serverload.store.model_registry import ModelRegistry
    from serverload.store.session import spark_session

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
    issue_forecasts(tables, champion, champion.decision, ORIGINS, IssueRules.of(settings))
    spark.stop()


def true_home(settings: Settings, servers: int, noise: str, origins: range = ORIGINS) -> None:
    """Tables of a fleet whose forecasts are its true probabilities, as they can be known 48 hours before."""
    drawn = fleet(servers, 1, noise)
    truth = Truth(drawn, settings.classes.low_max, settings.classes.medium_max)
    days = [truth.rows(day) for day in LoadModel(drawn, START, 1).days(DAYS)]
    rows = pl.concat([pl.DataFrame(pl.from_arrow(day)) for day in days])
    hour = pl.col("hour")
    observed = rows.filter(status="observed").select(
        "server_ip", "hour", pl.lit(1).alias("sessions"), *(pl.col("actual_peak_load").alias(peak) for peak in PEAKS),
        hour.dt.strftime("%Y-%m").alias("month"),
    )  # fmt: skip
    chances = [f"probability_{name}" for name in CLASSES]
    told = rows.drop_nulls(chances)
    said = np.array(CLASSES)[cheapest(settings.model.cost, told.select(chances).to_numpy())]
    told = told.with_columns(workload_class=said)
    parts = [
        told.filter(hour > hour_start(origin), hour <= hour_start(origin + 48)).select(
            "server_ip", "workload_class", *chances, hour.alias("target_hour"), hour.dt.date().alias("target_date"),
            pl.lit(hour_start(origin)).alias("issued_hour"), pl.lit(hour_start(origin + 1)).alias("issued_at"),
            ((hour - hour_start(origin)).dt.total_hours()).cast(pl.Int32).alias("horizon_hours"),
            pl.lit(0).alias("revision"), pl.lit("model").alias("basis"), pl.lit("truth").alias("model_version"),
        )
        for origin in origins
    ]  # fmt: skip
    types = pl.DataFrame({"server_ip": drawn.server_ips, "server_type": drawn.server_type.astype(np.int32)})
    first = observed.group_by("server_ip").agg(first_hour=hour.min(), last_event=hour.max())
    tables = Path(settings.home, "tables")
    write_deltalake(str(tables / "hourly_load"), observed.to_arrow(), partition_by=["month"])
    write_deltalake(str(tables / "forecasts"), pl.concat(parts).to_arrow(), partition_by=["target_date"])
    write_deltalake(str(tables / "servers"), first.join(types, on="server_ip").to_arrow())


def replays(settings: Settings) -> dict[str, object]:
    """How advice has held within server types, and with all servers as one group."""
    names = pl.read_delta(f"{settings.home}/tables/servers")["server_ip"]
    groups = {"by_type": None, "as_one_group": dict.fromkeys(names, "all")}
    asked = {"days": TEST_DAYS, "step_hours": 24}
    return {
        name: replayed_plans(settings.home, PlanRules.of(settings), groups=each, **asked).to_pylist()
        for name, each in groups.items()
    }


def plan_seconds(settings: Settings) -> dict[str, object]:
    """Seconds of a plan for many servers, read from the tables each time, and what it advises."""
    seconds, processor_seconds = [], []
    for _attempt in range(3):
        begun, used = time.perf_counter(), time.process_time()
        made = plan(settings.home, PlanRules.of(settings), as_of=hour_start(FIRST_ORIGIN + 1) + timedelta(minutes=1))
        seconds.append(round(time.perf_counter() - begun, 3))
        processor_seconds.append(round(time.process_time() - used, 3))
    told = {"seconds": min(seconds), "processor_seconds": min(processor_seconds)}
    return {"servers": FLEET, **told, "advice": dict(made.advice["advice"].value_counts().rows())}


def main() -> None:
    """Print what was found; write bench/out/plan-NOISE.json."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    noise: Noise = {name: name for name in get_args(Noise)}[sys.argv[2] if len(sys.argv) > 2 else "medium"]
    told: dict[str, object] = {"servers": servers, "noise": noise}
    with tempfile.TemporaryDirectory(prefix="bench-plan-") as scratch:

        def home(name: str) -> Settings:
            model = {"max_training_rows": 200_000, "test_days": TEST_DAYS}
            return load_settings(flags={"home": f"{scratch}/{name}", "model": model})

        true_home(home("true"), servers, noise)
        told["true_probabilities"] = replays(home("true"))
        true_home(home("fleet"), FLEET, noise, range(FIRST_ORIGIN, FIRST_ORIGIN + 1))
        told["plan"] = plan_seconds(home("fleet"))
        if "truth" not in sys.argv:
            learned_home(home("learned"), Path(scratch), servers, noise)
            told["forest"] = replays(home("learned"))
    print(json.dumps(told, indent=1))
    keep(f"plan-{noise}", told)


if __name__ == "__main__":
    main()
