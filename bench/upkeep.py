"""A stream of a month with late data, simulated: what the tables hold and what lies on disk, day by day.

`python -m bench.upkeep [SERVERS] [BATCHES_A_DAY]`: 30 days, `advance` and `compact` once a day. The batches are
committed as those of a stream are; each day all files grow older by a day.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from batch.compact import TableSize, TableUpkeep, compact
from serverload.advance import Advance
from serverload.contracts.lines import MEASURES
from serverload.contracts.progress import Silent
from serverload.contracts.settings import load_settings
from serverload.store.data_files import write_files
from serverload.store.delta_kernel import Transaction, commit_files
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

START = datetime(2016, 3, 1, tzinfo=UTC)
WINDOWS_A_DAY = 288
LATE_SHARE, MEAN_DAYS_LATE = 0.05, 1.0
_TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Fleet:
    """Servers, each with a session in every 5-minute window, and how many batches a day bring these."""

    servers: int
    batches_a_day: int

    def batch(self, number: int, draw: random.Random) -> pa.Table:
        """One batch's rows of `load_windows`: its own stretch of the day, and late windows of the days before."""
        length = WINDOWS_A_DAY // self.batches_a_day
        names = [f"10.0.{number // 256}.{number % 256}" for number in range(self.servers)]
        keys = {(name, number * length + window) for window in range(length) for name in names}
        for _ in range(round(len(keys) * LATE_SHARE)):
            late = round(draw.expovariate(1 / MEAN_DAYS_LATE) * WINDOWS_A_DAY)
            keys.add((draw.choice(names), max(0, number * length - late)))
        return _rows(sorted(keys), number, draw)


def _rows(keys: list[tuple[str, int]], batch_id: int, draw: random.Random) -> pa.Table:
    starts = [START + timedelta(minutes=5 * window) for _name, window in keys]
    times = pa.array(starts, _TIME)
    count = len(keys)
    return pa.table(
        {
            "server_ip": [name for name, _window in keys],
            "window_start": times,
            "sessions": pa.array([1] * count, pa.int64()),
            **{name: [draw.randrange(10**9) / 1e6 for _ in keys] for name in MEASURES},
            "last_event": times,
            "server_type": pa.array([None] * count, pa.int32()),
            "server_type_at": pa.array([None] * count, _TIME),
            "source": ["live"] * count,
            "batch_id": pa.array([batch_id] * count, pa.int64()),
            "month": [f"{start:%Y-%m}" for start in starts],
        }
    )


def month(
    tables: DeltaTables, fleet: Fleet, *, compact_every: int = 1, advance: bool = True
) -> Iterator[list[TableUpkeep]]:
    """Run 30 days; yields what each `compact` did, in the night after its day."""
    draw, batch_id = random.Random(1), 0
    tables.create("load_windows")
    path = tables.path("load_windows")
    for day in range(1, 31):
        for _ in range(fleet.batches_a_day):
            written = write_files(path, "month", ("window_start", "batch_id"), [fleet.batch(batch_id, draw)])
            commit_files(tables.spark, path, pa.Table.from_batches(written).to_pylist(), Transaction("bench", batch_id))
            batch_id += 1
        if advance:
            Advance(tables, load_settings()).run()
        if day % compact_every == 0:
            closed_until = START + timedelta(days=day - 1)
            yield compact(tables, closed_until=closed_until, retain_hours=168, progress=Silent())
        _grow_older(tables.home)


def _grow_older(home: str) -> None:
    for file in Path(home, "tables").rglob("*"):
        if file.is_file():
            then = file.stat().st_mtime - 86400
            os.utime(file, (then, then))


def main() -> None:
    """Print a line per table for each fifth day."""
    fleet = Fleet(*(int(given) for given in (*sys.argv[1:], "3", "24")[:2]))
    spark = spark_session("bench", jars=spark_jars(), output=Path(tempfile.gettempdir(), "bench-upkeep.log"))
    print(f"{fleet}, {LATE_SHARE:.0%} late by {MEAN_DAYS_LATE:g} days in the mean")
    with tempfile.TemporaryDirectory(prefix="bench-upkeep-") as home:
        began = time.monotonic()
        for day, done in enumerate(month(DeltaTables(spark, home), fleet), 1):
            for table in done if day % 5 == 0 else ():
                print(f"day {day:2} {table.table:12} {_told(table.before)} -> {_told(table.after)}", flush=True)
            if day % 5 == 0:
                print(f"day {day:2} {time.monotonic() - began:.0f} s", flush=True)
    spark.stop()


def _told(size: TableSize) -> str:
    return f"{size.files:4} files {size.rows:9,} rows {size.bytes:12,} B, on disk {size.disk_bytes:12,} B"


if __name__ == "__main__":
    main()
