"""Has it become slower, or hungrier? Some seconds, for continuous integration: each part beside a yardstick of its own.

A yardstick is a library doing plain work of the same kind, in turn with ours, and processor time is what is compared:
neither the machine nor what else runs on it counts for much. A bound is half of what was measured when it was written.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv
from sklearn.ensemble import RandomForestClassifier

from bench.serve import DEPTH, TREES, drawn_forest
from producers.synthetic import generate_history
from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import EPOCH
from serverload.contracts.lines import FIELDS_16
from serverload.contracts.settings import load_settings
from serverload.ingest import HISTORY, line_rules
from serverload.steps.features import feature_rows, lookback_hours
from serverload.steps.hours import FleetHours, server_hours
from serverload.steps.ingest_rows import file_lines, packed_rows

RUNS, PARTS = 5, 32
LEAST = {"event kernel": 0.30, "features": 0.18, "scoring": 0.29}
"""Half of what was measured: 0.61, 0.37 and 0.59 times as fast as the yardsticks."""
GROWTH, MOST_MEMORY = 8, 1.25
"""So many times as many lines may take so many times the memory at most."""


@dataclass(frozen=True)
class Guarded:
    """A part of ours and its yardstick; `least` times as fast as this it has to be."""

    name: str
    ours: Callable[[], object]
    yardstick: Callable[[], object]
    least: float


def lines_of(scratch: Path) -> bytes:
    """Two days of 40 servers, 1 % dirty."""
    made = generate_history(
        scratch, servers=40, days=2, start=date(2016, 1, 1), seed=1, dirty=0.01, sessions_per_hour=60.0
    )
    return b"".join(path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n" for path in made.files)


def windows(lines: bytes, times: int = 1) -> int:
    """Window sums of the lines, with every check, packed as Spark gets them; bytes."""
    rules = line_rules(load_settings().ingest, HISTORY, EPOCH.replace(year=2020))
    chunks = (file_lines("file", 0, lines) for _ in range(times))
    return sum(batch.nbytes for batch in packed_rows(rules, chunks, PARTS))


def only_split(lines: bytes) -> pa.Table:
    """The fields of the lines as text by Arrow's CSV reader; what does not fit is passed over."""
    text = csv.ConvertOptions(column_types=dict.fromkeys(FIELDS_16, pa.binary()))
    parse = csv.ParseOptions(quote_char=False, invalid_row_handler=lambda _row: "skip")
    read = csv.ReadOptions(column_names=list(FIELDS_16), use_threads=False)
    return csv.read_csv(BytesIO(lines), read, parse, text)


def guarded(scratch: Path) -> Iterator[Guarded]:
    """What is looked at, with its yardstick and bound."""
    lines, random = lines_of(scratch), np.random.default_rng(1)
    yield Guarded("event kernel", lambda: windows(lines), lambda: only_split(lines), LEAST["event kernel"])

    first, count = 400_000, 120 * 24
    hours = np.arange(first, first + count)
    peaks = random.lognormal(4, 1, (len(PEAKS), count))
    server = server_hours(hours, peaks, first_hour=first, grid_start=first, last_hour=first + count - 1,
                          fleet=FleetHours.of(hours), retire_after_hours=168)  # fmt: skip
    targets = np.tile(hours[lookback_hours(48, 168) : -1], 7)
    horizons = np.repeat([1, 3, 6, 12, 24, 36, 48], len(targets) // 7)
    frame = pd.DataFrame(peaks.T)
    yield Guarded(
        "features",
        lambda: feature_rows(server, targets, horizons),
        lambda: [frame.rolling(window).mean() for window in (24, 72, 168, 672)],
        LEAST["features"],
    )

    rows = feature_rows(server, *(each[: 390 * 48] for each in (targets, horizons)))
    forest = drawn_forest(random)
    inputs = random.random((rows.height, 60))
    theirs = RandomForestClassifier(TREES, max_depth=DEPTH, n_jobs=1, random_state=1)
    theirs.fit(inputs[:2000], random.integers(0, 3, 2000))
    yield Guarded("scoring", lambda: forest.probabilities(rows), lambda: theirs.predict_proba(inputs), LEAST["scoring"])


def speeds(part: Guarded) -> float:
    """How many times as fast as the yardstick it is: the median of runs in turn, after one that is dropped."""
    ratios = []
    for _ in range(RUNS + 1):
        times = []
        for work in (part.yardstick, part.ours):
            begun = time.process_time()
            work()
            times.append(time.process_time() - begun)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios[1:])


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Print a row a part; exit code 1 where one is below its bound, or memory grows with the lines."""
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        lines = lines_of(Path(scratch, "memory"))
        windows(lines, GROWTH)
        before = peak_bytes()
        windows(lines, GROWTH * GROWTH)
        grown = peak_bytes() / before
        failed |= grown > MOST_MEMORY
        print(f"memory for {GROWTH} times as many lines: {grown:.2f} times, at most {MOST_MEMORY:.2f}")
        for part in guarded(Path(scratch, "speed")):
            speed = speeds(part)
            failed |= speed < part.least
            print(f"{part.name}: {speed:.2f} times the yardstick, at least {part.least:.2f}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
