"""The tables of a home as they stood together at one moment."""

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame

from serverload.contracts.tables import TABLES
from serverload.store.delta_tables import DeltaTables
from serverload.store.locks import held_for_home


class HomeSnapshot(DeltaTables):
    """Reads what was there when it was made, whatever is written meanwhile; never write through it.

    No advance ran, and no batch was completed, while the versions were looked at: every batch of `ingest_log` is in
    the tables, and what stands below `load_windows` fits together.
    """

    def __init__(self, tables: DeltaTables) -> None:
        super().__init__(tables.spark, tables.home)
        with held_for_home(tables.home, "advance"):
            self._versions = _versions(tables)

    def version(self, name: str) -> int:
        """The version that is read."""
        return self._versions[name]

    def read(self, name: str) -> DataFrame:
        """The table as it stood at that version."""
        return self.read_version(name, self.version(name))

    def version_as_of(self, name: str, noted: int) -> int:
        """The newest version that has the rows of a noted one: later commits only moved them."""
        version = noted
        while version < self.version(name):
            commit = self.log(name).commit(version + 1)
            if commit is None or commit.files:
                break
            version += 1
        return version

    def holds(self, name: str, version: int) -> bool:
        """Tell whether a version can still be read: its log and all of its files are there."""
        try:
            files = self.read_version(name, version).inputFiles()
        except AnalysisException:
            return False
        return all(self.log(name).has_file(file) for file in files)


def _versions(tables: DeltaTables) -> dict[str, int]:
    while True:
        versions = {name: tables.version(name) for name in ("ingest_log", *TABLES)}
        if tables.version("ingest_log") == versions["ingest_log"]:
            return versions
