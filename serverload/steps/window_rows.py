"""The columns of window sums while they are added up: measures are whole micros."""

import pyarrow as pa

from serverload.contracts.lines import MEASURES

_TIME = pa.timestamp("us", tz="UTC")

WINDOWS_SCHEMA = pa.schema(
    [
        ("server_ip", pa.string()),
        ("window_start", _TIME),
        ("sessions", pa.int64()),
        *((measure, pa.int64()) for measure in MEASURES),
        ("last_event", _TIME),
        ("server_type", pa.int32()),
        ("server_type_at", _TIME),
    ]
)
"""Sums per server and 5-minute window. The type is null if no event has one."""
