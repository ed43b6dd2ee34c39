"""A synthetic session history with a known truth, the same for the same arguments."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from producers.dirt import Soil
from producers.fleet import Fleet, fleet
from producers.load_model import FleetDay, LoadModel, day_random
from producers.sessions import csv_text, session_table, sessions
from producers.truth import TRUTH_SCHEMA, Truth
from serverload.contracts.errors import InputError, StoreError
from serverload.contracts.progress import Progress, Silent

SESSIONS_PER_HOUR = 9.0
"""Mean sessions of a server in an hour: 30 servers x 97 days are then some 75 MB."""

SESSION_STREAM = 4
TRUTH_FILE, DIRT_FILE = "truth.parquet", "dirt.json"

Noise = Literal["low", "medium", "high"]


@dataclass(frozen=True)
class GeneratedHistory:
    """What was written: one file per day, the truth beside them, and the ledger of the dirt."""

    out: Path
    files: tuple[Path, ...]
    lines: int
    bytes: int
    truth: Path
    dirt: Path


def generate_history(
    out: Path,
    *,
    servers: int,
    days: int,
    start: date,
    seed: int,
    dirty: float = 0.0,
    noise: Noise = "medium",
    sessions_per_hour: float = SESSIONS_PER_HOUR,
    low_max: float = 100.0,
    medium_max: float = 500.0,
    progress: Progress | None = None,
) -> GeneratedHistory:
    """Write headerless 16-field CSV to `out/YYYY/MM/YYYY-MM-DD.csv`, with truth.parquet and dirt.json beside.

    Same arguments, same bytes; more days leave the files of the first days as they are. The truth's columns and
    what its probabilities mean stand in `producers.truth`. Raises InputError for arguments that make no history,
    and where `out` holds CSV files that are not of this one. Memory does not grow with the days.
    """
    _check(servers, days, start, seed, dirty, sessions_per_hour)
    made = fleet(servers, seed, noise)
    progress = progress or Silent()
    progress.step("generate", days, "days")
    texts, truth = _day_texts(made, start, days, seed, sessions_per_hour), Truth(made, low_max, medium_max)
    try:
        return _written(out, _day_files(out, start, days), texts, truth, Soil(dirty, seed), progress)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(error.filename or out)) from error


def _day_texts(
    made: Fleet, start: date, days: int, seed: int, sessions_per_hour: float
) -> Iterator[tuple[FleetDay, bytes]]:
    for day in LoadModel(made, start, seed).days(days):
        random = day_random(seed, SESSION_STREAM, day.index)
        yield day, csv_text(session_table(sessions(day, sessions_per_hour, random), made, random))


def _written(
    out: Path,
    files: tuple[Path, ...],
    texts: Iterator[tuple[FleetDay, bytes]],
    truth: Truth,
    soil: Soil,
    progress: Progress,
) -> GeneratedHistory:
    size = 0
    with pq.ParquetWriter(out / TRUTH_FILE, TRUTH_SCHEMA, compression="zstd") as truth_file:
        for file, (day, text) in zip(files, texts, strict=True):
            soiled = soil.on(text, day.index)
            _replace(file, soiled)
            truth_file.write_table(truth.rows(day))
            size += len(soiled)
            progress.advance(1)
    _replace(out / DIRT_FILE, json.dumps(soil.ledger.told(), indent=2).encode() + b"\n")
    return GeneratedHistory(out, files, soil.ledger.lines, size, out / TRUTH_FILE, out / DIRT_FILE)


def _check(servers: int, days: int, start: date, seed: int, dirty: float, sessions_per_hour: float) -> None:
    bad = {
        f"servers: expected 1 to 100000, got {servers}": not 1 <= servers <= 100_000,
        f"days: expected at least 1, got {days}": days < 1,
        f"start: expected a day from 1970-01-01 on, got {start}": start < date(1970, 1, 1),
        f"days: {days} from {start} on end after 2098": days >= 1 and (date(2099, 1, 1) - start).days < days,
        f"seed: expected 0 or more, got {seed}": seed < 0,
        f"dirty: expected a rate from 0 to 0.5, got {dirty:g}": not 0 <= dirty <= 0.5,
        f"sessions per hour: expected 1 to 1000, got {sessions_per_hour:g}": not 1 <= sessions_per_hour <= 1000,
    }
    for complaint, holds in bad.items():
        if holds:
            raise InputError(complaint, where="generate")


def _day_files(out: Path, start: date, days: int) -> tuple[Path, ...]:
    """The files to write, with their folders made. Raises InputError where other CSV files lie in `out`."""
    each = (start + timedelta(days=index) for index in range(days))
    files = tuple(out / f"{day:%Y}" / f"{day:%m}" / f"{day:%Y-%m-%d}.csv" for day in each)
    known = set(files)
    for found in sorted(out.rglob("*.csv")) + sorted(out.rglob("*.gz")):
        if found not in known:
            raise InputError("is not of this history", where=str(found), hint="give an empty folder, or remove it")
    for folder in {file.parent for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    return files


def _replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)
