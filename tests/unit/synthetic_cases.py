"""What the tests of the synthetic history share: a small history, and its hours read from the lines alone."""

from datetime import date
from pathlib import Path

import polars as pl

from producers.synthetic import GeneratedHistory, generate_history
from serverload.contracts.lines import FIELDS_16

START = date(2016, 5, 28)


def generated(out: Path, **changes: object) -> GeneratedHistory:
    arguments: dict[str, object] = {"servers": 12, "days": 10, "start": START, "seed": 7} | changes
    return generate_history(out, **arguments)  # type: ignore[arg-type]


def csv_hours(history: GeneratedHistory) -> pl.DataFrame:
    """The hours' peaks in thousandths and how many windows reach them, read from a clean history alone."""
    text = b"".join(path.read_bytes() for path in history.files)
    lines = pl.read_csv(text, has_header=False, new_columns=list(FIELDS_16), schema_overrides=[pl.String] * 16)
    start = pl.col("SessionStart").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC")
    units = pl.col("TotalLoad").str.replace(".", "", literal=True).cast(pl.Int64)
    windows = lines.group_by("ServerIP", start.dt.truncate("5m").alias("window")).agg(units.sum().alias("units"))
    hour = pl.col("window").dt.truncate("1h").alias("hour")
    return windows.group_by(pl.col("ServerIP").alias("server_ip"), hour).agg(
        pl.col("units").max(), (pl.col("units") == pl.col("units").max()).sum().alias("busiest_windows")
    )
