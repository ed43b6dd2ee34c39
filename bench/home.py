"""A home in a folder of its own, and the commands of a user on it, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from serverload.store.table_reader import run_sql


class Home:
    """A home, and the commands on it; `settings` are variables of their environment."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._environment = {**os.environ, "SERVERLOAD_HOME": str(folder), **settings}

    def run(self, *arguments: str) -> None:
        """Wait for a command; raises CalledProcessError where it fails."""
        subprocess.run(self._command(arguments), env=self._environment, check=True, stdout=subprocess.DEVNULL)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin a command; what it prints goes to NAME.out in the home."""
        with (self.folder / f"{arguments[0]}.out").open("ab") as log:
            return subprocess.Popen(self._command(arguments), env=self._environment, stdout=log, stderr=log)

    def asked(self, query: str) -> dict[str, object]:
        """The one row that a query gives."""
        return dict(run_sql(str(self.folder), query).to_pylist()[0])

    def files(self) -> tuple[int, int]:
        """Data files and bytes of the tables on disk, older versions and logs included."""
        found = [file for file in (self.folder / "tables").rglob("*") if file.is_file()]
        return sum(file.suffix == ".parquet" for file in found), sum(file.stat().st_size for file in found)

    @staticmethod
    def _command(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "serverload", *arguments]
