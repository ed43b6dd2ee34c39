"""Where Spark's own words go: a file of the home, so that stderr holds progress and our lines only."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from serverload.contracts.errors import StoreError
from serverload.contracts.homes import is_local

_KEPT_BYTES = 10 << 20
_begun: list[Path] = []
_up_at: dict[Path, int] = {}


def debugging() -> bool:
    """Tell whether stacks and Spark's words are wanted on stderr (`--debug`, or SERVERLOAD_DEBUG=1)."""
    return bool(os.environ.get("SERVERLOAD_DEBUG"))


def spark_log(home: str, format: str = "text") -> Path | None:
    """Begin this command's part of `<home>/logs/spark.log`; None while debugging, when Spark speaks on stderr.

    Commands on the same home add to one file; beyond 10 MB it is moved aside to `spark.log.1` first.
    """
    if debugging():
        return None
    log = Path(home if is_local(home) else ".serverload") / "logs" / "spark.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _KEPT_BYTES:
            log.replace(log.with_name("spark.log.1"))
        with log.open("a", encoding="utf-8") as words:
            told = " ".join(Path(part).name for part in sys.argv[:2])
            words.write(_heading(told, format))
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror}", where=str(log), hint="choose another --home, or mend its rights"
        ) from error
    _begun.append(log)
    return log


def _heading(told: str, format: str) -> str:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if format == "json":
        return json.dumps({"ts": now, "level": "INFO", "msg": told, "process": os.getpid()}) + "\n"
    return f"--- {now} {told}, process {os.getpid()}\n"


def spark_is_up(log: Path | None) -> None:
    """Note how far the log has come once Spark runs: what is added from here on is a complaint."""
    if log is not None:
        _up_at[log] = log.stat().st_size


def complaints() -> Path | None:
    """The log of this process if Spark has written to it since it came up."""
    log = log_in_use()
    return log if log and log in _up_at and log.exists() and log.stat().st_size > _up_at[log] else None


def log_in_use() -> Path | None:
    """The log of this process, whatever stands in it; None where Spark was not started or speaks on stderr."""
    return _begun[-1] if _begun else None
