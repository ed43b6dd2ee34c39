"""Every Delta table: columns, types, keys, partitions. The docs and the store are made from this list."""

from dataclasses import dataclass

from serverload.contracts.feature_columns import FEATURES, PEAKS
from serverload.contracts.lines import MEASURES


@dataclass(frozen=True)
class Column:
    """One column: name, Spark SQL type and what it means."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """One Delta table under `<home>/tables/<name>`: its grain, columns, key and partition columns."""

    name: str
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def ddl(self) -> str:
        """The columns as a Spark DDL string."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)


def _measures(prefix: str = "", what: str = "sum over the window's sessions") -> tuple[Column, ...]:
    return tuple(Column(f"{prefix}{name}", "DOUBLE", what) for name in MEASURES)


_SERVER = Column("server_ip", "STRING", "the server's address, as written in the line")
_MONTH = Column("month", "STRING", "UTC month of the time, YYYY-MM")
_BATCH = Column("batch_id", "BIGINT", "the ingest batch")
_SOURCE = Column("source", "STRING", "history or live")
_CHECKPOINT = Column("checkpoint_id", "STRING", "the ledger or stream checkpoint that the batch belongs to")
_TARGET = (
    Column("issued_hour", "TIMESTAMP", "the newest closed hour when it was issued (the origin)"),
    Column("horizon_hours", "INT", "hours from the issued hour to the target hour"),
    Column("target_hour", "TIMESTAMP", "start of the hour that is forecast"),
)
_MODEL = (
    Column("model_name", "STRING", "registered model"),
    Column("model_version", "STRING", "version of the registered model"),
)
_FORECAST = (
    _SERVER,
    *_TARGET,
    Column("workload_class", "STRING", "low, medium or high: the least expected cost; null where basis is none"),
    Column("probability_low", "DOUBLE", "probability of low"),
    Column("probability_medium", "DOUBLE", "probability of medium"),
    Column("probability_high", "DOUBLE", "probability of high"),
    *_MODEL,
    Column("revision", "INT", "0, and one more each time late data changed it"),
    Column("issued_at", "TIMESTAMP", "when it was written"),
    Column("basis", "STRING", "model; climatology or none where too little is known of the server"),
    Column(
        "prediction_set",
        "STRING",
        "classes, joined by commas, one of which comes with the stated coverage; empty: none likely enough",
    ),
    Column("target_date", "DATE", "UTC day of the target hour"),
)

STREAM_EVENTS = (
    *("offsets_lost", "broker_away", "broker_back"),
    *("model_taken", "model_refused", "model_rolled_back", "registry_away", "registry_back"),
    *("shadow_taken", "shadow_refused", "shadow_ended", "rollback_failed", "rollback_works"),
)

TROUBLE_EVENTS = ("broker_away", "registry_away", "model_refused", "shadow_refused", "rollback_failed")
"""Events after which something is wrong, until the next event about the same thing (the word before the `_`)."""

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "load_windows",
            "server, 5-minute window, batch (a partial sum: a window's value is the sum over its rows)",
            (
                _SERVER,
                Column("window_start", "TIMESTAMP", "start of the 5-minute window"),
                Column("sessions", "BIGINT", "accepted lines"),
                *_measures(),
                Column("last_event", "TIMESTAMP", "newest session start"),
                Column("server_type", "INT", "type of the newest event with a whole-number type"),
                Column("server_type_at", "TIMESTAMP", "time of that event; among equal times the largest type"),
                _SOURCE,
                Column("batch_id", "BIGINT", "the ingest batch; null once compacted"),
                _MONTH,
            ),
            ("server_ip", "window_start", "source", "batch_id"),
            ("month",),
        ),
        Table(
            "rejects",
            "refused line",
            (
                Column("line", "STRING", "its text, at most 4 kB"),
                Column("reason", "STRING", "the first reason that holds"),
                _SOURCE,
                Column("origin", "STRING", "file and byte offset, or topic/partition/offset"),
                _BATCH,
                Column("rejected_at", "TIMESTAMP", "the batch's own time"),
            ),
            ("source", "batch_id", "origin"),
        ),
        Table(
            "ingest_log",
            "ingest batch; written last, so a row means that the batch is complete",
            (
                _SOURCE,
                _CHECKPOINT,
                _BATCH,
                Column("batch_time", "TIMESTAMP", "the batch's own time, the same in a retry"),
                Column("read", "BIGINT", "non-blank lines read = accepted + rejected + skipped"),
                Column("accepted", "BIGINT", "lines that are in load_windows"),
                Column("rejected", "BIGINT", "lines that are in rejects"),
                Column("skipped", "BIGINT", "lines left out by only_servers or cutover"),
                Column("lost_offsets", "BIGINT", "broker offsets that retention had deleted before they were read"),
                Column("rejected_by_reason", "MAP<STRING, BIGINT>", "reason -> lines"),
                Column(
                    "repaired_by_field", "MAP<STRING, BIGINT>", "field -> accepted lines in which it held no number"
                ),
                Column("first_event", "TIMESTAMP", "oldest accepted session start"),
                Column("last_event", "TIMESTAMP", "newest accepted session start"),
                Column("committed_at", "TIMESTAMP", "when the row was written"),
                Column("from_offsets", "MAP<STRING, BIGINT>", "topic/partition -> first offset of the batch"),
                Column("until_offsets", "MAP<STRING, BIGINT>", "topic/partition -> offset after its last"),
            ),
            ("source", "checkpoint_id", "batch_id"),
        ),
        Table(
            "stream_log",
            "event in the life of a stream, beside its batches",
            (
                Column("event_at", "TIMESTAMP", "when"),
                _CHECKPOINT,
                Column("event", "STRING", f"one of {', '.join(STREAM_EVENTS)}"),
                Column("model_version", "STRING", "the model version that it is about; null where none is"),
                Column("detail", "STRING", "in one line"),
            ),
            ("event_at", "checkpoint_id", "event"),
        ),
        Table(
            "ingested_files",
            "file of the history that is done",
            (
                Column("uri", "STRING", "absolute address"),
                Column("size", "BIGINT", "bytes"),
                Column("etag", "STRING", "the store's etag, or the modification time"),
                _CHECKPOINT,
                _BATCH,
            ),
            ("uri",),
        ),
        Table(
            "backfill_plans",
            "file of a planned batch; written before the batch runs, so that a killed run repeats it unchanged",
            (
                _CHECKPOINT,
                _BATCH,
                Column("batch_time", "TIMESTAMP", "the batch's own time"),
                Column("uri", "STRING", "absolute address"),
                Column("size", "BIGINT", "bytes"),
                Column("etag", "STRING", "the store's etag, or the modification time"),
            ),
            ("checkpoint_id", "batch_id", "uri"),
        ),
        Table(
            "hourly_load",
            "server, hour that has events (open hours too, as they stand now)",
            (
                _SERVER,
                Column("hour", "TIMESTAMP", "start of the hour"),
                Column("sessions", "BIGINT", "sessions in the hour"),
                Column("peak_load", "DOUBLE", "largest 5-minute sum of total load"),
                Column("peak_window_start", "TIMESTAMP", "the window of the peak, the earliest of equals"),
                *(Column(name, "DOUBLE", "sum in the window of the peak") for name in PEAKS[1:]),
                _MONTH,
            ),
            ("server_ip", "hour"),
            ("month",),
        ),
        Table(
            "servers",
            "server",
            (
                _SERVER,
                Column("first_hour", "TIMESTAMP", "its first hour with events"),
                Column("last_event", "TIMESTAMP", "its newest session start"),
                Column("server_type", "INT", "type of its newest event with a whole-number type"),
                Column("server_type_at", "TIMESTAMP", "time of that event"),
            ),
            ("server_ip",),
        ),
        Table(
            "features",
            "server, target hour, horizon",
            (
                _SERVER,
                Column("target_hour", "TIMESTAMP", "start of the hour that is forecast"),
                *(Column(feature.name, feature.type, feature.comment) for feature in FEATURES),
                Column("label", "STRING", "class of the target's peak load: low, medium, high"),
            ),
            ("server_ip", "target_hour", "horizon_hours"),
            ("year", "month"),
        ),
        Table(
            "forecasts",
            "issued forecast (append-only)",
            _FORECAST,
            ("server_ip", "issued_hour", "horizon_hours", "revision"),
            ("target_date",),
        ),
        Table(
            "shadow_forecasts",
            "forecast of a model that runs beside the champion (append-only, never revised)",
            _FORECAST,
            ("server_ip", "issued_hour", "horizon_hours", "model_version"),
            ("target_date",),
        ),
        Table(
            "forecast_outcomes",
            "matured forecast (append-only)",
            (
                _SERVER,
                *_TARGET,
                *_MODEL,
                Column("revision", "INT", "revision of the forecast"),
                Column("workload_class", "STRING", "the class that was forecast"),
                Column("actual_class", "STRING", "the class that came"),
                Column("actual_peak_load", "DOUBLE", "the peak load that came; 0 for an idle hour"),
                Column("correct", "BOOLEAN", "forecast and actual class are equal"),
                Column("probability_of_actual", "DOUBLE", "probability that the forecast gave the actual class"),
                Column("rps", "DOUBLE", "ranked probability score of the forecast, 0 to 1, the lower the better"),
                Column("covered", "BOOLEAN", "the actual class is in the prediction set; null without one"),
                Column("basis", "STRING", "what the forecast rested on"),
                Column("outcome_revision", "INT", "0, and one more each time late data changed the class"),
                Column("matured_at", "TIMESTAMP", "when it was written"),
                Column("target_date", "DATE", "UTC day of the target hour"),
            ),
            ("server_ip", "issued_hour", "horizon_hours", "revision", "outcome_revision"),
            ("target_date",),
        ),
    )
}

LOAD_WINDOW_SUMS = "load_window_sums"
"""The view over `load_windows` with the partial sums added: one row per server and window."""
