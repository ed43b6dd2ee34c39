"""The words of a session line: layouts, measures, reject reasons."""

FIELDS_16: tuple[str, ...] = (
    "SessionStart", "SessionEnd", "ConcurrentConnectionCounts", "MbytesTransferred", "ServiceGrade",
    "HTTP1", "ServerType", "SubService_1_Load", "SubService_2_Load", "SubService_3_Load",
    "SubService_4_Load", "SubService_5_Load", "SecureBytes_Load", "TotalLoad", "ClientIP", "ServerIP",
)  # fmt: skip
"""The documented layout."""

FIELDS_17: tuple[str, ...] = ("TrafficType", *FIELDS_16[:14], "ServerIP", "ClientIP")
"""The older layout: one field more in front, the two addresses swapped."""

TOTAL_LOAD = "total_load"

SUMMED_FIELDS: dict[str, str] = {
    "mbytes_transferred": "MbytesTransferred",
    "sub_service_1_load": "SubService_1_Load",
    "sub_service_2_load": "SubService_2_Load",
    "sub_service_3_load": "SubService_3_Load",
    "sub_service_4_load": "SubService_4_Load",
    "sub_service_5_load": "SubService_5_Load",
    "secure_bytes_load": "SecureBytes_Load",
}
"""Column -> line field of the seven measures that are summed beside the total load."""

MEASURES: tuple[str, ...] = (TOTAL_LOAD, *SUMMED_FIELDS)
"""The eight summed columns of `load_windows`, total load first."""

REPAIRED_FIELDS: tuple[str, ...] = (*SUMMED_FIELDS.values(), "ServerType")
"""Line fields that count as absent, and as one repair, when they hold no number."""

REJECT_REASONS: dict[str, str] = {
    "encoding": "not UTF-8",
    "columns": "neither 16 nor 17 fields, or JSON that does not parse",
    "header": "a header line: SessionStart holds no digit",
    "session_start": "SessionStart is no valid time",
    "server_ip": "ServerIP is no valid address",
    "total_load": "TotalLoad is missing, no number or negative",
    "outside": "outside the configured range of times",
    "ahead": "later than the batch's own time allows",
}
"""Reason -> what it means, in the order in which they are tried: the first that holds is the one."""

REJECTED_TEXT_BYTES = 4096
"""A refused line is kept with at most this much of its text."""

WINDOW_MINUTES = 5
