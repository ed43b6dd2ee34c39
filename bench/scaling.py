"""How the jobs grow with bytes, servers, hours, horizons, rows and messages: the tables of docs/scaling.md.

`python -m bench.scaling`: three sizes of each, one after another in one Spark session. What a gigabyte or a row costs
is fitted to what was measured; that times the sizes of a terabyte, spread over the article's 40 cores, stands in the
last table. It holds if work spreads evenly over cores and disks keep up with them: nothing here can show either.
"""

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from bench.measuring import keep
from bench.scaling_beyond import ARTICLE_CORES, fleets, terabyte, terabyte_sizes
from bench.scaling_live import stream_rows
from bench.scaling_runs import History, Size, fitted_rows, history_row, horizon_rows, issue_rows, learned
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

BASE = Size(servers=100, days=16, sessions_per_hour=30.0)
GROWING = {
    "bytes": [BASE, BASE._replace(sessions_per_hour=180.0), BASE._replace(sessions_per_hour=420.0)],
    "servers": [BASE, BASE._replace(servers=200), BASE._replace(servers=400)],
    "hours": [BASE, BASE._replace(days=32), BASE._replace(days=64)],
}
SIZES = list(dict.fromkeys(size for sizes in GROWING.values() for size in sizes))


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

    warm = history_row(spark, folder, BASE._replace(days=15)).home  # warms up
    made: dict[Size, History] = {size: history_row(spark, folder, size) for size in SIZES}
    for what, sizes in GROWING.items():
        add(f"backfill, growing in {what}", [made[size].row for size in sizes])
    of_servers = [made[size].home for size in GROWING["servers"]]
    add("features, growing in horizons", horizon_rows(spark, made[BASE].home))
    trained = fitted_rows(spark, of_servers[-1])
    add("one fit of the forest, growing in rows", trained)
    registry = learned(spark, of_servers[-1])
    issued = issue_rows(spark, [warm, *of_servers], registry)[1:]
    add("forecasts of one closing, growing in servers", issued)
    live = stream_rows(spark, folder)
    add("stream, growing in messages a micro-batch", live)
    histories = [history.row for history in made.values()]
    add(f"a terabyte on {ARTICLE_CORES} cores", terabyte(histories, trained))
    add("what a terabyte becomes", terabyte_sizes(histories))
    add(f"fleets on {ARTICLE_CORES} cores", fleets(histories, issued, live))
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
    keep("scaling", found)


if __name__ == "__main__":
    main()
