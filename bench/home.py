"""A home in a folder of its own, and the commands of a user on it, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from serverload.store.table_reader import run_sql


class Home:
    """A home, and the commands on it; `settings` are variables of their environment."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._environment = {**os.environ, "SERVERLOAD_HOME": str(folder), **settings}
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str) -> None:
        """Wait for a command; raises CalledProcessError where it fails."""
        subprocess.run(self._command(arguments), env=self._environment, check=True, stdout=subprocess.DEVNULL)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin a command; what it prints goes to NAME.out in the home."""
        with (self.folder / f"{arguments[0]}.out").open("ab") as log:
            self._started.append(
                subprocess.Popen(self._command(arguments), env=self._environment, stdout=log, stderr=log)
            )
        return self._started[-1]

    def stop(self) -> None:
        """End what was begun and has not ended."""
        for process in self._started:
            process.terminate()
            process.wait()

    def asked(self, query: str) -> dict[str, object]:
        """The one row that a query gives."""
        return dict(run_sql(str(self.folder), query).to_pylist()[0])

    def files(self) -> tuple[int, int]:
        """Data files and bytes of the tables on disk, older versions and logs included."""
        count, size = 0, 0
        for file in (self.folder / "tables").rglob("*"):
            with suppress(FileNotFoundError):  # the stream and `compact` take files away meanwhile
                facts = file.stat()
                count += file.suffix == ".parquet"
                size += facts.st_size if S_ISREG(facts.st_mode) else 0
        return count, size

    @staticmethod
    def _command(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "serverload", *arguments]
