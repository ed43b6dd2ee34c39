"""The MLflow store of runs and models; MLflow is imported only when it is used (its import costs seconds)."""

import logging
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serverload.contracts.errors import ModelError
from serverload.contracts.homes import is_local
from serverload.store.locks import held_for_home

EXPERIMENT = "serverload"
"""The one MLflow experiment that holds the runs of all jobs."""

NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow calls the error where it has no such run, model or version."""

_ANSWER_SECONDS = 5.0
_SQLITE = "sqlite:///"
_SERVERS = ("http", "https", "databricks")
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # an unreachable server is an error within seconds: the defaults try seven times, for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_QUIET = ("mlflow", "alembic")


class Tracking:
    """Where runs and models are kept: a sqlite file in a local home, artefacts beside it, or any address by setting."""

    def __init__(self, tracking_uri: str, home: str) -> None:
        """Nothing is opened or made yet. Raises ModelError if no address is set and the home is not local."""
        if not tracking_uri and not is_local(home):
            raise ModelError(
                f"{home} cannot hold the registry", where="[model] tracking_uri", hint="set an MLflow server"
            )
        self.home = home
        self.uri = tracking_uri or _database_in(home)
        self._client: Any = None

    @property
    def made(self) -> bool:
        """Whether there may be something to read: a sqlite file that is not there yet is not made by asking."""
        return not self.uri.startswith(_SQLITE) or Path(self.uri.removeprefix(_SQLITE)).is_file()

    @property
    def place(self) -> str:
        """The address without user and password, for messages."""
        parts = urlsplit(self.uri)
        return self.uri.replace(parts.netloc, parts.netloc.rpartition("@")[2]) if "@" in parts.netloc else self.uri

    def mlflow(self) -> Any:
        """The mlflow module, quiet and turned to this store; it knows one store per process, so ask each time."""
        for key, entry in _ENVIRONMENT.items():
            os.environ.setdefault(key, entry)
        import mlflow

        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        return mlflow

    def client(self) -> Any:
        """The MLflow client; a database is made on first use. Raises ModelError, within seconds, when unreachable."""
        mlflow = self.mlflow()
        if self._client is None:
            self._check_reachable()
            with self.in_one_line(), held_for_home(self.home, "mlflow"):
                client = mlflow.MlflowClient(self.uri, self.uri)
                client.search_experiments(max_results=1)
                self._follow_the_home()
            self._client = client
        return self._client

    def experiment_id(self) -> str:
        """The experiment of all jobs; made with its artefacts in the home, unless a server keeps them."""
        client = self.client()
        with self.in_one_line(), held_for_home(self.home, "mlflow"):
            known = client.get_experiment_by_name(EXPERIMENT)
            return str(known.experiment_id if known else client.create_experiment(EXPERIMENT, self._artifact_folder()))

    @contextmanager
    def in_one_line(self, what: str = "") -> Iterator[None]:
        """Turn whatever MLflow, its database, its server or Spark raise in the block into a ModelError of one line."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except Exception as error:
            of_the_store = isinstance(error, MlflowException | SQLAlchemyError | sqlite3.Error | OSError)
            if not of_the_store and not _from_spark(error):
                raise
            reason = first_line(error)
            raise ModelError(f"{what} ({reason})" if what else reason, where=self.place) from error

    def _artifact_folder(self) -> str | None:
        if urlsplit(self.uri).scheme in _SERVERS:
            return None
        return Path(self.home, "mlartifacts").as_uri() if is_local(self.home) else f"{self.home}/mlartifacts"

    def _follow_the_home(self) -> None:
        """Where a home was moved or copied, let its runs name their artefacts where these lie now.

        MLflow keeps whole addresses: the runs of a copy would go on reading and writing in the first home.
        """
        here = self._artifact_folder()
        if self.uri != _database_in(self.home) or here is None:
            return
        with closing(sqlite3.connect(self.uri.removeprefix(_SQLITE), timeout=_ANSWER_SECONDS)) as database, database:
            known = database.execute("select artifact_location from experiments where name = ?", (EXPERIMENT,))
            for (before,) in known.fetchall():
                if before != here:
                    moved = "update {} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?"
                    for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
                        values = (here, len(before) + 1, len(before), before)
                        database.execute(moved.format(table, column=column), values)

    def _check_reachable(self) -> None:
        address = urlsplit(self.uri)
        if address.scheme not in ("http", "https") or not address.hostname:
            return
        try:
            port = address.port or {"http": 80, "https": 443}[address.scheme]
            socket.create_connection((address.hostname, port), timeout=_ANSWER_SECONDS).close()
        except (OSError, ValueError) as error:
            hint = "start the server or set [model] tracking_uri"
            raise ModelError(f"MLflow does not answer ({error})", where=self.place, hint=hint) from error


def _database_in(home: str) -> str:
    return f"{_SQLITE}{home}/mlflow.db"


def _from_spark(error: Exception) -> bool:
    """Whether Spark raised it, told by name: this module is also used where Spark is not."""
    return any(kind.__module__.startswith(("pyspark.", "py4j.")) for kind in type(error).__mro__)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, bounded; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
