"""Rows of tables, drawn in a test and written without Spark."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from serverload.contracts.tables import TABLES

NOON = datetime(2016, 6, 10, 12, tzinfo=UTC)
ARROW = {
    "STRING": pa.string(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "MAP<STRING, BIGINT>": pa.map_(pa.string(), pa.int64()),
}


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


def put(home: Path, name: str, *rows: dict[str, object]) -> None:
    """Append rows to a table; columns that a row does not name are null."""
    table = TABLES[name]
    schema = pa.schema([(column.name, ARROW[column.type]) for column in table.columns])
    filled = [{column: row.get(column) for column in table.column_names} for row in rows]
    rows_as_table = pa.Table.from_pylist(filled, schema=schema)
    write_deltalake(
        f"{home}/tables/{name}", rows_as_table, mode="append", partition_by=list(table.partition_by) or None
    )


def forecast(server: str, issued: int, horizon: int, **more: object) -> dict[str, object]:
    target = hours(issued + horizon)
    return {
        "server_ip": server,
        "issued_hour": hours(issued),
        "horizon_hours": horizon,
        "target_hour": target,
        "target_date": target.date(),
        "workload_class": "low",
        "model_name": "forest",
        "model_version": "3",
        "revision": 0,
        "issued_at": hours(issued + 1.25),
        **more,
    }


def outcome(
    server: str, issued: int, horizon: int, forecast_class: str, actual: str | None, **more: object
) -> dict[str, object]:
    correct = None if actual is None else forecast_class == actual
    matured = {"actual_class": actual, "correct": correct, "outcome_revision": 0, "probability_of_actual": 0.5}
    return forecast(server, issued, horizon, workload_class=forecast_class) | matured | more


def shown(table: pa.Table, *columns: str) -> list[tuple[object, ...]]:
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))
