"""The feature definition on Spark: server after server, the pure functions inside. No arithmetic of its own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES, MICROS, WorkloadClass
from serverload.contracts.errors import StoreError
from serverload.contracts.feature_columns import PEAKS
from serverload.contracts.instants import hour_start
from serverload.contracts.tables import TABLES
from serverload.contracts.tables import Column as TableColumn
from serverload.steps.features import feature_rows, fleet_feature_rows, forecast_pairs, lookback_hours, training_pairs
from serverload.steps.hours import FleetHours, ServerHours, server_hours
from serverload.steps.labels import workload_class
from serverload.steps.own_climatology import own_climatology
from serverload.steps.peaks import hour_number_of
from serverload.steps.python_workers import spare_what_is_loaded

_SECONDS_PER_HOUR = 3600
_ARROW_TYPES = {
    "STRING": pa.string(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "INT": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
}
_TRAINING_COLUMNS = TABLES["features"].columns
_KEYED_FEATURES = tuple(column for column in _TRAINING_COLUMNS if column.name != "label")
CLIMATOLOGY: tuple[str, ...] = tuple(f"climatology_{name}" for name in CLASSES)
_FORECAST_COLUMNS = (
    *_KEYED_FEATURES,
    TableColumn("known_hours_7d", "INT", "hours of the last 168 up to the origin that count"),
    TableColumn("known_hours_28d", "INT", "hours of the last 672 up to the origin that count"),
    *(TableColumn(name, "DOUBLE", "class frequency of the server at this hour of the day") for name in CLIMATOLOGY),
)

_SERVERS_AT_ONCE, _ROWS_AT_ONCE = 100, 8192
"""Few rows of several servers are made as one frame, which costs more than its rows; so many at most."""

Servers = Iterator[tuple[str, ServerHours]]


def workload_class_column(peak_load: Column, *, low_max: float, medium_max: float) -> Column:
    """Class of a peak load as a Spark column, told by micros exactly as `labels.workload_class`; null stays null."""
    micros = sf.rint(peak_load * sf.lit(float(MICROS)))
    return (
        sf.when(peak_load.isNull() | sf.isnan(peak_load), sf.lit(None).cast("string"))
        .when(micros <= sf.rint(sf.lit(low_max * MICROS)), sf.lit(WorkloadClass.LOW.value))
        .when(micros <= sf.rint(sf.lit(medium_max * MICROS)), sf.lit(WorkloadClass.MEDIUM.value))
        .otherwise(sf.lit(WorkloadClass.HIGH.value))
    )


def fleet_hours(hourly: DataFrame) -> FleetHours:
    """The hours in which any server of `hourly_load` has sessions, brought to the driver.

    Bounded by time and not by servers: a row an hour on the way, 65,700 in seven and a half years, then a bit.
    Give it at least the hours that the features will read: an hour it does not hold is taken for missing.
    """
    distinct = hourly.select(hour_number_of("hour").alias("hour")).distinct().toArrow()
    return FleetHours.of(distinct["hour"].to_numpy())


def feature_frame(
    hourly: DataFrame,
    servers: DataFrame,
    fleet: FleetHours,
    *,
    closed_until: int,
    first_target: int,
    last_target: int,
    horizons: Sequence[int],
    retire_after_hours: int,
    low_max: float,
    medium_max: float,
) -> DataFrame:
    """Labelled features, columns as table `features`: each closed hour of the range that counts, per horizon.

    `hourly` as `hourly_load`, of which only the months and hours needed are read. Rows come a server and a
    horizon at a time, so memory holds one server's hours and one horizon's rows. Their order is not defined.
    """
    last = min(last_target, closed_until)
    grid_start = first_target - lookback_hours(max(horizons), retire_after_hours)

    def labelled(each: Servers) -> Iterator[pl.DataFrame]:
        for server_ip, server in each:
            for horizon in horizons:
                targets, ahead = training_pairs(server, closed_until, first_target, last_target, (horizon,))
                loads = server.peaks[0, targets - server.grid_start]
                label = workload_class(loads, low_max=low_max, medium_max=medium_max).alias("label")
                yield feature_rows(server, targets, ahead).with_columns(label, pl.lit(server_ip).alias("server_ip"))

    return _by_server(
        labelled, _TRAINING_COLUMNS, hourly, servers, fleet,
        first=grid_start, last=last, retire_after_hours=retire_after_hours,
    )  # fmt: skip


def forecast_feature_frame(
    hourly: DataFrame,
    servers: DataFrame,
    fleet: FleetHours,
    *,
    origins: Sequence[int],
    horizons: Sequence[int],
    retire_after_hours: int,
    low_max: float,
    medium_max: float,
) -> DataFrame:
    """Features of the forecasts to issue when the hours `origins` have closed; columns as `features`, no label.

    Beside them what `own_climatology` knows of the server: for forecasts that a model has too little to go by.

    Per origin, every server with an observed hour among the last `retire_after_hours`, the origin included, at
    each horizon; no row depends on the other origins.
    """
    grid_start = min(origins) + min(horizons) - lookback_hours(max(horizons), retire_after_hours)

    def due(each: Servers) -> Iterator[pl.DataFrame]:
        def awaited(named: tuple[str, ServerHours]) -> list[int]:
            return [origin for origin in origins if named[1].awaits_forecast(origin)]

        for awaiting, alike in groupby(each, key=awaited):
            targets, ahead = forecast_pairs(awaiting, horizons)
            at_once = max(1, min(_SERVERS_AT_ONCE, _ROWS_AT_ONCE // max(1, len(targets))))
            while awaiting and (some := list(islice(alike, at_once))):
                yield _fleet_rows(some, targets, ahead, low_max=low_max, medium_max=medium_max)

    return _by_server(
        due, _FORECAST_COLUMNS, hourly, servers, fleet,
        first=grid_start, last=max(origins), retire_after_hours=retire_after_hours,
    )  # fmt: skip


def _fleet_rows(
    each: Sequence[tuple[str, ServerHours]],
    targets: NDArray[np.int64],
    ahead: NDArray[np.int64],
    *,
    low_max: float,
    medium_max: float,
) -> pl.DataFrame:
    """Features of some servers at the same targets and horizons, and what `own_climatology` knows of each beside."""
    own = [
        own_climatology(server, targets, targets - ahead, low_max=low_max, medium_max=medium_max) for _, server in each
    ]
    usual, recent, known = (np.concatenate(parts) for parts in zip(*own, strict=True))
    return fleet_feature_rows([server for _, server in each], targets, ahead).with_columns(
        pl.Series("server_ip", [server_ip for server_ip, _ in each]).gather(
            np.repeat(np.arange(len(each)), targets.size)
        ),
        pl.Series("known_hours_7d", recent),
        pl.Series("known_hours_28d", known),
        *(pl.Series(name, column, nan_to_null=True) for name, column in zip(CLIMATOLOGY, usual.T, strict=True)),
    )


def _timestamp(hour: int) -> Column:
    return sf.timestamp_seconds(sf.lit(hour * _SECONDS_PER_HOUR))


def _by_server(
    rows: Callable[[Servers], Iterator[pl.DataFrame]],
    columns: tuple[TableColumn, ...],
    hourly: DataFrame,
    servers: DataFrame,
    fleet: FleetHours,
    *,
    first: int,
    last: int,
    retire_after_hours: int,
) -> DataFrame:
    """What `rows` makes of the servers' hours `first .. last`, each server's laid on the grid; pruned by month, hour.

    A server's hours come to one task, one after the other; memory holds as many servers as `rows` takes at once.
    """
    schema = pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in columns])

    def on_grid(hours: pa.Table) -> tuple[str, ServerHours]:
        server_ip = hours["server_ip"][0].as_py()
        first_hour = _first_hour(server_ip, hours)
        observed = hours["hour"].to_numpy()
        return server_ip, server_hours(
            observed,
            np.vstack([hours[peak].to_numpy() for peak in PEAKS]),
            first_hour=first_hour,
            grid_start=max(first, min(first_hour, int(observed.min()))),
            last_hour=last,
            fleet=fleet,
            retire_after_hours=retire_after_hours,
        )

    def of_task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for frame in rows(map(on_grid, _server_tables(batches))):
            made = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest())
            yield from made.cast(schema).to_batches()
        spare_what_is_loaded("features")

    in_months = sf.col("month").between(f"{hour_start(first):%Y-%m}", f"{hour_start(last):%Y-%m}")
    in_hours = sf.col("hour").between(_timestamp(first), _timestamp(last))
    hours = hourly.where(in_months & in_hours).select("server_ip", hour_number_of("hour").alias("hour"), *PEAKS)
    first_hours = servers.select("server_ip", hour_number_of("first_hour").alias("first_hour"))
    together = hours.join(first_hours, "server_ip", "left").repartition("server_ip").sortWithinPartitions("server_ip")
    return together.mapInArrow(of_task, ", ".join(f"`{column.name}` {column.type}" for column in columns))


def _server_tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Rows that are sorted by server as one table a server."""
    waiting = list[pa.RecordBatch]()
    for batch in batches:
        numbers = batch["server_ip"].dictionary_encode().indices.to_numpy()
        for begin, end in pairwise([0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), batch.num_rows]):
            part = batch.slice(begin, end - begin)
            if waiting and part.num_rows and part["server_ip"][0] != waiting[0]["server_ip"][0]:
                yield pa.Table.from_batches(waiting)
                waiting.clear()
            waiting += [part] * (part.num_rows > 0)
    if waiting:
        yield pa.Table.from_batches(waiting)


def _first_hour(server_ip: str, hours: pa.Table) -> int:
    first_hour: int | None = hours["first_hour"][0].as_py()
    if first_hour is None:
        raise StoreError(f"no row for {server_ip}, which has hours", where="servers", hint="advance the tables")
    return first_hour


def actual_hours(
    hourly: DataFrame, servers: DataFrame, fleet: FleetHours, *, first: int, last: int, retire_after_hours: int
) -> DataFrame:
    """What came in the hours `first .. last`: server_ip, target_hour, peak_load of those that count (idle: 0)."""
    grid_start = first - retire_after_hours
    columns = (*_KEYED_FEATURES[:2], TableColumn("peak_load", "DOUBLE", "peak load of the hour; 0 if idle"))

    def counted(server_ip: str, server: ServerHours) -> pl.DataFrame:
        hours = np.arange(server.grid_start, server.grid_start + len(server.states))
        wanted = server.counting & (hours >= first)
        starts = pl.Series("target_hour", hours[wanted] * _SECONDS_PER_HOUR * 1_000_000).cast(pl.Datetime("us", "UTC"))
        names = pl.repeat(server_ip, len(starts), dtype=pl.String, eager=True).alias("server_ip")
        return pl.DataFrame([names, starts, pl.Series("peak_load", server.peaks[0, wanted])])

    def of_some(each: Servers) -> Iterator[pl.DataFrame]:
        while some := list(islice(each, _SERVERS_AT_ONCE)):
            yield pl.concat(counted(*named) for named in some)

    return _by_server(
        of_some, columns, hourly, servers, fleet,
        first=grid_start, last=last, retire_after_hours=retire_after_hours,
    )  # fmt: skip
