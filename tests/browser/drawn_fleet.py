"""A fleet drawn from a seed and written without Spark: hours, forecasts of many issued hours, what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from deltalake import write_deltalake
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES
from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.tables import TABLES
from serverload.steps.labels import workload_class

LOW_MAX, MEDIUM_MAX = 100.0, 500.0
AHEAD = 48
HOSTILE = '<img src=x onerror="window.hit = 1">&amp;'
"""A name that wants to be markup."""
AFTER_THE_HOUR = timedelta(minutes=75)
TYPES = {
    "STRING": pl.String, "INT": pl.Int32, "BIGINT": pl.Int64, "DOUBLE": pl.Float64, "BOOLEAN": pl.Boolean,
    "DATE": pl.Date, "TIMESTAMP": pl.Datetime("us", "UTC"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fleet:
    """Servers with a daily rhythm: `loads` of `hours` up to the newest closed one, NaN without sessions."""

    servers: Sequence[str]
    hours: Sequence[datetime]
    loads: NDArray[np.float64]

    @classmethod
    def drawn(cls, servers: Sequence[str], last: datetime, count: int = 240, seed: int = 7) -> "Fleet":
        """Every ninth is idle for its last 30 hours; three hours are missing, a day before the last."""
        random = np.random.default_rng(seed)
        hours = [last - timedelta(hours=back) for back in range(count - 1, -1, -1)]
        level = np.exp(random.normal(4.2, 1.1, len(servers)))[:, None]
        swing = random.uniform(0.2, 1.6, len(servers))[:, None]
        day = np.array([np.sin((hour.hour - 8) / 12 * np.pi) for hour in hours])
        loads = level * np.exp(swing * day + random.normal(0, 0.25, (len(servers), count)))
        loads[::9, -30:] = np.nan
        loads[:, -27:-24] = np.nan
        return cls(servers, hours, loads)

    def write(self, home: Path, *, issues: int) -> None:
        """The tables, with the forecasts of the last `issues` hours."""
        known = [self.hours[0], self.hours[-1] + timedelta(hours=2)]
        servers = {"server_ip": self.servers, "server_type": [place % 3 + 1 for place in range(len(self.servers))]}
        put_frame(home, "servers", pl.DataFrame(servers).with_columns(first_hour=known[0], last_event=known[1]))
        came = self._came()
        peaks = [pl.col("load").alias(peak) for peak in PEAKS]
        month = pl.col("hour").dt.strftime("%Y-%m").alias("month")
        put_frame(home, "hourly_load", came.with_columns(*peaks, month, sessions=30))
        issued = pl.concat([self._issued(place) for place in range(len(self.hours) - issues, len(self.hours))])
        put_frame(home, "forecasts", issued)
        put_frame(home, "forecast_outcomes", _matured(issued, came))

    def _came(self) -> pl.DataFrame:
        row, column = np.nonzero(~np.isnan(self.loads))
        names, hours = pl.Series(self.servers).gather(row), pl.Series(self.hours).gather(column)
        return pl.DataFrame({"server_ip": names, "hour": hours, "load": self.loads[row, column]})

    def _issued(self, place: int) -> pl.DataFrame:
        """Forecasts after an hour: as one or two days before, the less sure the farther; none where that is unknown."""
        row = np.repeat(np.arange(len(self.servers)), AHEAD)
        horizon = np.tile(np.arange(1, AHEAD + 1), len(self.servers))
        guess = self.loads[row, place + horizon - 24 * (1 + (horizon > 24))]
        logits = (np.log([LOW_MAX, MEDIUM_MAX]) - np.log(guess)[:, None]) / (0.35 + horizon / 120)[:, None]
        up_to_low, up_to_medium = (1 / (1 + np.exp(-logits))).T
        chances = np.column_stack([up_to_low, up_to_medium - up_to_low, 1 - up_to_medium])
        said = pl.Series(CLASSES).gather(np.nan_to_num(chances).argmax(axis=1))
        sets = [",".join(np.array(CLASSES)[each > 0.15]) for each in chances]
        issued = pl.lit(self.hours[place])
        frame = pl.DataFrame({"server_ip": pl.Series(self.servers).gather(row), "horizon_hours": horizon})
        return frame.with_columns(
            *(pl.Series(f"probability_{name}", each) for name, each in zip(CLASSES, chances.T, strict=True)),
            workload_class=said, prediction_set=pl.Series(sets), basis=pl.lit("model"), revision=0,
            issued_hour=issued, target_hour=issued + pl.duration(hours=pl.col("horizon_hours")),
            model_name=pl.lit("serverload-forecast"), model_version=pl.lit("3"), issued_at=issued + AFTER_THE_HOUR,
        ).filter(pl.Series(~np.isnan(guess))).with_columns(target_date=pl.col("target_hour").dt.date())  # fmt: skip


def thousand(last: datetime) -> Fleet:
    """A thousand servers, 216 hours back."""
    return Fleet.drawn([f"10.{place // 250}.0.{place % 250}" for place in range(1000)], last, 216)


def _matured(issued: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    loads = came.rename({"hour": "target_hour", "load": "actual_peak_load"})
    found = issued.join(loads, on=["server_ip", "target_hour"])
    actual = workload_class(found["actual_peak_load"].to_numpy(), low_max=LOW_MAX, medium_max=MEDIUM_MAX)
    chance = pl.coalesce(pl.when(pl.Series(actual) == name).then(f"probability_{name}") for name in CLASSES)
    misses = [pl.col(f"probability_{name}") - pl.Series(actual == name) for name in ("low", "high")]
    return found.with_columns(
        actual_class=actual, correct=pl.col("workload_class") == pl.Series(actual), probability_of_actual=chance,
        rps=(misses[0] ** 2 + misses[1] ** 2) / 2, covered=True, outcome_revision=0,
        matured_at=pl.col("target_hour") + AFTER_THE_HOUR,
    )  # fmt: skip


def put_frame(home: Path, name: str, rows: pl.DataFrame) -> None:
    """Append rows to a table; columns that they have not are null."""
    columns = [
        (pl.col(each.name) if each.name in rows.columns else pl.lit(None)).cast(TYPES[each.type]).alias(each.name)
        for each in TABLES[name].columns
    ]
    written = rows.select(columns).to_arrow(compat_level=pl.CompatLevel.oldest())
    partitions = list(TABLES[name].partition_by) or None
    write_deltalake(f"{home}/tables/{name}", written, mode="append", partition_by=partitions)
