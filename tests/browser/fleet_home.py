"""A home with a whole fleet, drawn from a seed and written without Spark: hours, forecasts, outcomes, batches, rejects."""

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
FORECAST_TYPES = {"horizon_hours": pl.Int32, "revision": pl.Int32, "outcome_revision": pl.Int32}


@dataclass(frozen=True, eq=False)
class Fleet:
    """Servers with a daily rhythm: `loads` of `hours`, the last of which is the newest closed one; NaN: no sessions."""

    servers: Sequence[str]
    hours: Sequence[datetime]
    loads: NDArray[np.float64]

    @classmethod
    def drawn(cls, servers: Sequence[str], last: datetime, count: int, seed: int = 7) -> "Fleet":
        """Some servers low, some with high afternoons, noise on all; every ninth is silent for its last days."""
        random = np.random.default_rng(seed)
        hours = [last - timedelta(hours=back) for back in range(count - 1, -1, -1)]
        level = np.exp(random.normal(4.2, 1.1, len(servers)))[:, None]
        swing = random.uniform(0.2, 1.6, len(servers))[:, None]
        day = np.array([np.sin((hour.hour - 8) / 24 * 2 * np.pi) for hour in hours])[None, :]
        loads = level * np.exp(swing * day + random.normal(0, 0.25, (len(servers), count)))
        loads[::9, -30:] = np.nan
        loads[:, count // 2 : count // 2 + 3] = np.nan
        return cls(servers, hours, loads)

    def write(self, home: Path, *, issues: int = 48) -> None:
        """All tables that the dashboard shows; forecasts of the last `issues` hours, and what has matured of them."""
        _put(home, "servers", pl.DataFrame([
            {"server_ip": name, "first_hour": self.hours[0], "last_event": self.hours[-1] + timedelta(minutes=75),
             "server_type": place % 3 + 1}
            for place, name in enumerate(self.servers)
        ]))  # fmt: skip
        row, column = np.nonzero(~np.isnan(self.loads))
        hourly = self._rows(row, column).with_columns(
            *(pl.Series(peak, self.loads[row, column]) for peak in PEAKS), pl.lit(30).alias("sessions"),
            pl.col("hour").dt.strftime("%Y-%m").alias("month"),
        )  # fmt: skip
        _put(home, "hourly_load", hourly)
        forecasts = pl.concat([self._issued(place) for place in range(len(self.hours) - issues, len(self.hours))])
        _put(home, "forecasts", forecasts)
        _put(home, "forecast_outcomes", self._matured(forecasts))

    def _rows(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> pl.DataFrame:
        return pl.DataFrame(
            {"server_ip": pl.Series(self.servers).gather(row), "hour": pl.Series(self.hours).gather(column)}
        )

    def _issued(self, place: int) -> pl.DataFrame:
        """Forecasts after an hour: the load of the hour a day or two before, the less sure the farther."""
        horizons = np.tile(np.arange(1, AHEAD + 1), len(self.servers))
        row = np.repeat(np.arange(len(self.servers)), AHEAD)
        guess = self.loads[row, np.maximum(0, place + horizons - 24 * (1 + (horizons > 24)))]
        spread = (0.35 + horizons / 120)[:, None]
        borders = np.log([LOW_MAX, MEDIUM_MAX])[None, :]
        below = 1 / (1 + np.exp(-(borders - np.log(guess)[:, None]) / spread))
        chances = np.column_stack([below[:, 0], below[:, 1] - below[:, 0], 1 - below[:, 1]])
        known = ~np.isnan(guess)
        issued = self.hours[place]
        columns = {f"probability_{name}": chances[:, number] for number, name in enumerate(CLASSES)}
        frame = pl.DataFrame({"server_ip": pl.Series(self.servers).gather(row), "horizon_hours": horizons, **columns})
        said = pl.Series(CLASSES).gather(np.argmax(np.nan_to_num(chances), axis=1))
        sets = [",".join(name for name, chance in zip(CLASSES, each, strict=True) if chance > 0.15) for each in chances]
        return frame.with_columns(
            workload_class=said, prediction_set=pl.Series(sets), basis=pl.lit("model"), issued_hour=pl.lit(issued),
            target_hour=pl.lit(issued) + pl.duration(hours="horizon_hours"), model_name=pl.lit("serverload-forecast"),
            model_version=pl.lit("3"), revision=0, issued_at=pl.lit(issued + timedelta(minutes=75)),
        ).filter(pl.Series(known)).with_columns(target_date=pl.col("target_hour").dt.date())  # fmt: skip

    def _matured(self, forecasts: pl.DataFrame) -> pl.DataFrame:
        loads = np.nan_to_num(self.loads)
        row, column = np.nonzero(~np.isnan(loads))
        came = (
            self._rows(row, column)
            .with_columns(actual_peak_load=pl.Series(loads[row, column]))
            .rename({"hour": "target_hour"})
        )
        joined = forecasts.join(came, on=["server_ip", "target_hour"])
        actual = workload_class(joined["actual_peak_load"].to_numpy(), low_max=LOW_MAX, medium_max=MEDIUM_MAX)
        joined = joined.with_columns(actual_class=actual)
        given = [pl.when(pl.col("actual_class") == name).then(f"probability_{name}") for name in CLASSES]
        low, high = pl.col("probability_low"), pl.col("probability_high")
        return joined.with_columns(
            correct=pl.col("workload_class") == pl.col("actual_class"), probability_of_actual=pl.coalesce(given),
            rps=((low - (pl.col("actual_class") == "low")) ** 2 + (high - (pl.col("actual_class") == "high")) ** 2) / 2,
            covered=pl.col("prediction_set").str.contains(pl.col("actual_class"), literal=True), outcome_revision=0,
            matured_at=pl.col("target_hour") + pl.duration(minutes=75),
        )  # fmt: skip


def _put(home: Path, name: str, rows: pl.DataFrame) -> None:
    """Write a table; columns that the rows have not are null."""
    columns = TABLES[name].column_names
    types = {"INT": pl.Int32, "BIGINT": pl.Int64, "DOUBLE": pl.Float64, "BOOLEAN": pl.Boolean, "STRING": pl.String,
             "TIMESTAMP": pl.Datetime("us", "UTC"), "DATE": pl.Date}  # fmt: skip
    wanted = [
        (pl.col(column.name) if column.name in rows.columns else pl.lit(None))
        .cast(types[column.type])
        .alias(column.name)
        for column in TABLES[name].columns
    ]
    partitions = list(TABLES[name].partition_by) or None
    write_deltalake(
        f"{home}/tables/{name}",
        rows.select(wanted).select(columns).to_arrow(compat_level=pl.CompatLevel.oldest()),
        mode="append",
        partition_by=partitions,
    )
