"""From what bench.scaling measures to a terabyte and to larger fleets, by straight lines; nothing is measured here."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

Row = Mapping[str, float]
Told = dict[str, float | str]

ARTICLE_CORES = 40
HOURS, SERVERS, GIGABYTES = 2738 * 24, 390, 1000.0
"""The article's history: a terabyte of 390 servers, from 2009 to the middle of 2016."""
WINDOWS_AN_HOUR, HORIZONS, FORECASTS = 12, 7, 48
FITTED_ROWS = 2_000_000
"""Rows that a forest is fitted on at most ([model] max_training_rows)."""
FLEETS = (390, 10_000, 1_000_000)


def slopes(rows: Sequence[Row], units: Sequence[str], measure: str) -> list[float]:
    """How much a measure grows with one more of each unit: least squares, beside a fixed part."""
    sizes = np.array([[1.0, *(row[unit] for unit in units)] for row in rows])
    found = np.linalg.lstsq(sizes, np.array([row[measure] for row in rows]), rcond=None)[0]
    return [float(slope) for slope in found[1:]]


def terabyte(histories: Sequence[Row], trained: Sequence[Row]) -> list[Told]:
    """What it takes to read and learn a terabyte, if 40 cores are as busy as the cores here were."""
    gigabyte, window = slopes(histories, ["gigabytes", "window_rows"], "ingest")
    (hour_window,) = slopes(histories, ["window_rows"], "hours")
    (feature,) = slopes(histories, ["feature_rows"], "features")
    (fitted,) = slopes(trained, ["rows"], "fit")
    server_hours = SERVERS * HOURS
    seconds = {
        "ingest, by bytes": gigabyte * GIGABYTES,
        "ingest, by windows": window * WINDOWS_AN_HOUR * server_hours,
        "hours and servers": hour_window * WINDOWS_AN_HOUR * server_hours,
        "features": feature * HORIZONS * server_hours,
        "the forest, fitted twice": 2 * fitted * FITTED_ROWS,
    }
    cores = os.cpu_count() or 1
    return [
        {"job": job, "core_hours": cores * each / 3600, "minutes": cores * each / ARTICLE_CORES / 60}
        for job, each in seconds.items()
    ]


def terabyte_sizes(histories: Sequence[Row]) -> list[Told]:
    """What a terabyte becomes: rows and bytes of the tables, and bytes shuffled on the way."""
    windows, features = WINDOWS_AN_HOUR * SERVERS * HOURS, HORIZONS * SERVERS * HOURS
    (window,) = slopes(histories, ["window_rows"], "window_megabytes")
    (feature,) = slopes(histories, ["feature_rows"], "feature_megabytes")
    (shuffled,) = slopes(histories, ["window_rows"], "shuffled_megabytes")
    return [
        {
            "window_rows": windows,
            "window_gigabytes": windows * window / 1000,
            "feature_rows": features,
            "feature_gigabytes": features * feature / 1000,
            "shuffled_gigabytes": windows * shuffled / 1000,
        }
    ]


def fleets(histories: Sequence[Row], issued: Sequence[Row], live: Sequence[Row]) -> list[Told]:
    """What an hour brings to fleets whose servers are as busy as the article's, and what it takes on 40 cores."""
    (line_gigabytes,) = slopes(histories, ["lines"], "gigabytes")
    (forecast_megabytes,) = slopes(issued, ["forecasts"], "megabytes")
    (forecast,) = slopes(issued, ["forecasts"], "issue")
    (message,) = slopes(live, ["messages_a_batch"], "batch_seconds")
    cores, lines = os.cpu_count() or 1, GIGABYTES / line_gigabytes / (SERVERS * HOURS)
    return [
        {
            "servers": servers,
            "sessions_a_second": servers * lines / 3600,
            "gigabytes_a_day": servers * 24 * GIGABYTES / (SERVERS * HOURS),
            "windows_a_day": servers * 24 * WINDOWS_AN_HOUR,
            "features_a_day": servers * 24 * HORIZONS,
            "forecasts_an_hour": servers * FORECASTS,
            "forecast_gigabytes_a_day": servers * FORECASTS * 24 * forecast_megabytes / 1000,
            "cores_to_ingest": servers * lines / 3600 * message * cores,
            "minutes_to_issue": servers * FORECASTS * forecast * cores / ARTICLE_CORES / 60,
        }
        for servers in FLEETS
    ]
