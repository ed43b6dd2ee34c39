"""What all tests share: two processes, each with a Spark session, and an end to all that they start."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
from pyspark.sql import SparkSession
from trained_home import TrainedHome, small_trained_home
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

SESSIONS = {
    "live": (
        *("tests/chaos/", "tests/live/test_stream", "tests/live/test_sec", "tests/e2e/test_commands.py"),
        *("tests/scenarios/test_verify.py", "tests/model/test_train.py", "tests/model/test_drift.py"),
    ),
    "batch": ("tests/scenarios/", "tests/parity/", "tests/steps/", "tests/model/", "tests/cli/test_task_progress.py"),
}
"""Beginnings of the tests that need Spark, by the session that they share."""
SYSTEM = (
    *("tests/chaos/", "tests/e2e/", "tests/browser/", "tests/cli/test_first_errors.py"),
    *("tests/live/test_stream_faults.py", "tests/live/test_replay_broker.py", "tests/live/test_secrets.py"),
    *("tests/model/test_notebooks.py", "tests/scenarios/test_watch.py"),
)
"""Beginnings of the tests of the whole system: commands as processes, parts killed, a browser, days of a fleet."""
# commands live too short for Java's second compiler; the sessions of the tests do not
os.environ["SPARK_SUBMIT_OPTS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# a peer that has to be compiled, a browser of the machine; make says so where one is not there. The cluster takes
# minutes, most of them for a Python environment and its archive: `make cluster`
NEEDED = {
    "live/test_event_hub.py": find_spec("proton"),
    "browser": which("chromium"),
    "cluster": os.environ.get("SERVERLOAD_CLUSTER"),
}
collect_ignore = [path for path, found in NEEDED.items() if not found]
WATCH = pytest.StashKey[subprocess.Popen[str]]()

# pyspark takes a process without a main file for its own doctests, and ends it; pytest-xdist's have none
vars(sys.modules["__main__"]).setdefault("__file__", pytest.__file__)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Keep to itself what libraries say of their leaks while a process of pytest-xdist ends."""
    if hasattr(config, "workerinput"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def session_of(nodeid: str) -> str | None:
    return next((name for name, begins in SESSIONS.items() if nodeid.startswith(begins)), None)


class TwoSessions(LoadFileScheduling):
    """File by file, but what shares a Spark session goes to one process as a whole: each further one starts cold."""

    def _split_scope(self, nodeid: str) -> str:
        return session_of(nodeid) or super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TwoSessions:
    return TwoSessions(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the whole system; keep the short files for the end, so that both processes end together."""
    for item in items:
        if item.nodeid.startswith(SYSTEM):
            item.add_marker("system")
    items.sort(key=lambda item: (session_of(item.nodeid) is None, item.path.parent.name == "unit"))


@pytest.fixture(scope="session", autouse=True)
def ended_with_us(request: pytest.FixtureRequest) -> None:
    """Let a small process end whatever the tests leave running, once this one has ended, also by a kill."""
    mark = f"tests-{uuid.uuid4().hex}"
    command = [sys.executable, str(Path(__file__).with_name("ended_with_us.py"))]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    watch = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True, **quiet)
    print(mark, file=watch.stdin, flush=True)
    request.config.stash[WATCH] = watch  # its pipe stays open as long as we live
    os.environ["STARTED_BY"] = mark


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A local session on two cores with Delta and Kafka, as the jobs start it."""
    # tests hold hundreds of rows: a task, and compiled code for a query, cost more than they do
    settings = {"spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"}
    settings |= {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPARK_SUBMIT_OPTS", "-XX:+UseSerialGC -Xms2g -Xmn1g -XX:MetaspaceSize=512m")
        session = spark_session("tests", master="local[2]", driver_memory="2g", extra=settings, jars=spark_jars())
    yield session
    session.stop()


@pytest.fixture(scope="session")
def trained(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TrainedHome:
    """A home that has learned, to be copied: nothing is written to it."""
    return small_trained_home(spark, tmp_path_factory.mktemp("trained"))
