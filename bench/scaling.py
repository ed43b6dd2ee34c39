"""How the jobs grow with bytes, servers, hours, horizons, rows and messages: the tables of docs/scaling.md.

`python -m bench.scaling`: three sizes of each, one after another in one Spark session. What a gigabyte or a row costs
is fitted to what was measured; that times the sizes of a terabyte, spread over the article's 40 cores, stands in the
last table. It holds if work spreads evenly over cores and disks keep up with them: nothing here can show either.
"""

import json
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from bench.scaling_live import stream_rows
from bench.scaling_runs import History, Row, Size, fitted_rows, history_row, horizon_rows, issue_rows, learned
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

BASE = Size(servers=100, days=16, sessions_per_hour=30.0)
GROWING = {
    "bytes": [BASE, BASE._replace(sessions_per_hour=60.0), BASE._replace(sessions_per_hour=120.0)],
    "servers": [BASE, BASE._replace(servers=200), BASE._replace(servers=400)],
    "hours": [BASE, BASE._replace(days=32), BASE._replace(days=64)],
}
SIZES = list(dict.fromkeys(size for sizes in GROWING.values() for size in sizes))
TERABYTE_HOURS, TERABYTE_GIGABYTES, FITTED_ROWS, ARTICLE_CORES = 390 * 2738 * 24, 1000.0, 2_000_000, 40
"""The article's history, 390 servers from 2009 to the middle of 2016; rows that a forest is fitted on at most."""


def slopes(rows: Sequence[Row], units: Sequence[str], job: str) -> list[float]:
    """Seconds of a job for one more of each unit: least squares through the measurements, beside a fixed part."""
    sizes = np.array([[1.0, *(row[unit] for unit in units)] for row in rows])
    found = np.linalg.lstsq(sizes, np.array([row[job] for row in rows]), rcond=None)[0]
    return [float(slope) for slope in found[1:]]


def terabyte(histories: Sequence[Row], trained: Sequence[Row]) -> list[Row | dict[str, str]]:
    """What the slopes say of a terabyte, if 40 cores are as busy as the cores here were."""
    gigabyte, window = slopes(histories, ["gigabytes", "window_rows"], "ingest")
    (hour_window,) = slopes(histories, ["window_rows"], "hours")
    (feature,) = slopes(histories, ["feature_rows"], "features")
    (fitted,) = slopes(trained, ["rows"], "fit")
    seconds = {
        "ingest, by bytes": gigabyte * TERABYTE_GIGABYTES,
        "ingest, by windows": window * 12 * TERABYTE_HOURS,
        "hours and servers": hour_window * 12 * TERABYTE_HOURS,
        "features, 7 horizons": feature * 7 * TERABYTE_HOURS,
        "the forest, fitted twice": 2 * fitted * FITTED_ROWS,
    }
    cores = os.cpu_count() or 1
    return [
        {"job": job, "core_hours": cores * each / 3600, "minutes": cores * each / ARTICLE_CORES / 60}
        for job, each in seconds.items()
    ]


def tell(title: str, rows: Sequence[Mapping[str, float | str]]) -> None:
    """Print rows as a table in Markdown."""
    columns = list(rows[0])
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(_text(row[name]) for name in columns)} |", flush=True)


def _text(entry: float | str) -> str:
    if isinstance(entry, str):
        return entry
    return f"{entry:,}" if isinstance(entry, int) else f"{entry:,.2f}" if abs(entry) < 10 else f"{entry:,.0f}"


def measured(spark: SparkSession, folder: Path) -> dict[str, Sequence[Mapping[str, float | str]]]:
    """All tables by their titles; each is printed once it is there."""
    found: dict[str, Sequence[Mapping[str, float | str]]] = {}

    def add(title: str, rows: Sequence[Mapping[str, float | str]]) -> None:
        tell(title, rows)
        found[title] = rows

    history_row(spark, folder, Size(servers=20, days=4, sessions_per_hour=30.0))  # warms up
    made: dict[Size, History] = {size: history_row(spark, folder, size) for size in SIZES}
    for what, sizes in GROWING.items():
        add(f"backfill, growing in {what}", [made[size].row for size in sizes])
    of_servers = [made[size].home for size in GROWING["servers"]]
    add("features, growing in horizons", horizon_rows(spark, made[BASE].home))
    trained = fitted_rows(spark, of_servers[-1])
    add("one fit of the forest, growing in rows", trained)
    registry = learned(spark, of_servers[-1])
    add("forecasts of one closing, growing in servers", issue_rows(spark, of_servers, registry))
    add("stream, growing in messages a micro-batch", stream_rows(spark, folder))
    add(f"a terabyte on {ARTICLE_CORES} cores", terabyte([history.row for history in made.values()], trained))
    return found


def main() -> None:
    """Print the tables and write bench/out/scaling.json."""
    print(f"{platform.platform()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="bench-scaling-") as scratch:
        folder = Path(scratch)
        (folder / "events").mkdir()
        events = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": (folder / "events").as_uri()}
        events |= {"spark.eventLog.rolling.enabled": "false", "spark.eventLog.compress": "false"}
        spark = spark_session("bench", jars=spark_jars(), output=folder / "spark.log", extra=events)
        found = measured(spark, folder)
        spark.stop()
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "scaling.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
