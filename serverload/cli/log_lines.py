"""How lines on stderr are written: as they are, or each as a JSON object (`[logs] format`)."""

import io
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from typing import TextIO, cast


class JsonLines(io.TextIOBase):
    """Stands in for stderr: each line printed becomes an object, with the names that Spark's own log has."""

    def __init__(self, under: TextIO, job: str) -> None:
        self._under, self._job = under, job
        self._begun = threading.local()  # print writes a line and its end one after the other

    def write(self, text: str) -> int:
        """Take text; what is not ended yet waits for its end."""
        *lines, self._begun.line = (getattr(self._begun, "line", "") + text).split("\n")
        for line in filter(str.strip, lines):
            self.put("INFO", line)
        return len(text)

    def put(self, level: str, message: str) -> None:
        """Write one line."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {"ts": now, "level": level, "job": self._job, "process": os.getpid(), "msg": message.rstrip()}
        self._under.write(json.dumps(told, ensure_ascii=False) + "\n")
        self._under.flush()

    def flush(self) -> None:
        """Lines have gone out already."""

    def isatty(self) -> bool:
        """Nobody sits before it."""
        return False


class OurWords(logging.Handler):
    """What our own modules log, as lines of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it as one line."""
        tell(record.levelname.replace("WARNING", "WARN"), record.getMessage())


def write_lines_as(format: str) -> None:
    """From here on, write what goes to stderr as text or as json."""
    if format == "json" and not isinstance(sys.stderr, JsonLines):
        sys.stderr = cast(TextIO, JsonLines(sys.stderr, sys.argv[1] if sys.argv[1:] else ""))


def tell(level: str, message: str) -> None:
    """Write a line of ours on stderr."""
    if isinstance(sys.stderr, JsonLines):
        sys.stderr.put(level, message)
    else:
        print(f"serverload: {message}", file=sys.stderr, flush=True)
