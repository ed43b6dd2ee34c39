"""Three drawn servers, their loads hour by hour, and a model to forecast them with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyspark.ml import PipelineModel

from serverload.contracts.instants import hour_number, hour_start
from serverload.contracts.lines import MEASURES
from serverload.contracts.settings import load_settings
from serverload.contracts.tables import TABLES
from serverload.model.decision import Decision
from serverload.store.delta_tables import DeltaTables

FIRST = hour_number(datetime(2016, 2, 20, tzinfo=UTC))
NOW = FIRST + 240
SERVERS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
SETTINGS = load_settings(flags={"model": {"training_horizons": "1,48"}})


@dataclass(frozen=True)
class Model:
    """A fitted pipeline under a name and version."""

    fitted: PipelineModel
    version: str = "1"
    name: str = "drawn"
    only_horizons: tuple[int, ...] | None = None
    decision: Decision = field(default_factory=Decision)

    def pipeline(self) -> PipelineModel:
        return self.fitted


def load_of(server_ip: str, hour: int) -> float:
    """One server is high in office hours, one for seven hours in fourteen, one is always medium."""
    office, odd = 8 <= hour % 24 < 18, (hour - FIRST) // 7 % 2 == 1
    return {SERVERS[0]: 600.0 if office else 50.0, SERVERS[1]: 900.0 if odd else 50.0, SERVERS[2]: 300.0}[server_ip]


def add_windows(tables: DeltaTables, rows: list[tuple[str, int, float]]) -> None:
    """Append one window (at minute 55) of load for each server and hour."""
    columns = TABLES["load_windows"].column_names
    cells = []
    for server_ip, hour, load in rows:
        start = hour_start(hour).replace(minute=55)
        given = {
            "server_ip": server_ip, "window_start": start, "sessions": 1, "total_load": load, "source": "live",
            "last_event": start.replace(minute=57), "batch_id": 0, "month": f"{start:%Y-%m}",
        }  # fmt: skip
        cells.append(tuple(given.get(name, 0.0 if name in MEASURES else None) for name in columns))
    tables.append("load_windows", tables.spark.createDataFrame(cells, TABLES["load_windows"].ddl))


def add_hours(tables: DeltaTables, first: int, end: int) -> None:
    add_windows(tables, [(ip, hour, load_of(ip, hour)) for hour in range(first, end) for ip in SERVERS])
