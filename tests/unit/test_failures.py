"""A failure as one line; where Spark has a part in it, with the file that holds Spark's words."""

import errno
import socket
from pathlib import Path

import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, JavaObject
from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark.errors import AnalysisException

from serverload.cli import spark_log
from serverload.cli.failures import line_of
from serverload.contracts.errors import PlatformError, StoreError

JAVA_SAYS = """An error occurred while calling o97.save.
: org.apache.spark.SparkException: Job aborted.
\tat org.apache.spark.Some.where(Some.scala:1)
Caused by: java.io.IOException: a block is broken
\tat java.base/java.Some.where(Some.java:2)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SERVERLOAD_DEBUG", raising=False)
    monkeypatch.setattr(spark_log, "_begun", [])
    made = spark_log.spark_log(str(tmp_path))
    assert made == tmp_path / "logs" / "spark.log"
    spark_log.spark_is_up(made)
    return made


def test_an_error_of_ours_stays_as_it_is(log: Path) -> None:
    assert line_of(StoreError("is broken", where="x", hint="mend it")) == "x: is broken; mend it"


def test_an_error_of_sparks_names_the_cause_and_the_log(log: Path) -> None:
    told = f"java.io.IOException: a block is broken; see the stack trace with --debug; Spark's own words are in {log}"
    assert line_of(Py4JError(JAVA_SAYS)) == f"Py4JError: {told}"


def test_an_error_without_a_further_cause_tells_its_own_line(log: Path) -> None:
    first_two = "\n".join(JAVA_SAYS.splitlines()[:3])
    assert line_of(Py4JError(first_two)).startswith("Py4JError: org.apache.spark.SparkException: Job aborted.; see")


def test_when_java_is_gone_the_line_says_so() -> None:
    with socket.socket() as taken, pytest.raises(Py4JNetworkError) as refused:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        JavaGateway(gateway_parameters=GatewayParameters(port=taken.getsockname()[1])).jvm.System.nanoTime()
    assert line_of(refused.value).startswith("Spark's Java process has ended; start again, nothing is lost")


def test_an_error_of_a_java_that_has_gone_since_cannot_be_asked_for_its_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gateway = JavaGateway(gateway_parameters=GatewayParameters(port=taken.getsockname()[1]))
        failed = Py4JJavaError(
            "An error occurred while calling o97.collectToPython.\n", JavaObject("o98", gateway._gateway_client)
        )
        with pytest.raises(Py4JNetworkError):
            str(failed)
        assert line_of(failed).startswith("Spark's Java process has ended; start again, nothing is lost")


def test_when_java_goes_in_the_middle_of_an_answer_the_line_says_so_too() -> None:
    cut = Py4JError("An error occurred while calling o2207.getResult")
    assert line_of(cut).startswith("Spark's Java process has ended; start again, nothing is lost")


def test_an_error_of_ours_that_spark_caused_names_the_log(log: Path) -> None:
    error = StoreError("cannot be written")
    error.__cause__ = AnalysisException("no such column\n;\n'Project")
    assert line_of(error) == f"cannot be written; Spark's own words are in {log}"


def test_an_error_of_ours_from_a_worker_is_told_as_ours() -> None:
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1, in y\nserverload.contracts.errors.InputError: '
    assert (
        line_of(RuntimeError(f"{trace}b.csv.gz: cannot be unpacked; mend it\n"))
        == "b.csv.gz: cannot be unpacked; mend it"
    )


def test_a_failure_after_spark_complained_names_the_log(log: Path) -> None:
    with log.open("a") as words:
        words.write("12:00:00 ERROR TaskSetManager: a task failed\n")
    assert line_of(StoreError("the query failed")) == f"the query failed; Spark's own words are in {log}"


def test_a_full_disk_is_told_as_that() -> None:
    line = "no room left on the disk of /data/x; free some space and run it again: nothing needs repair"
    assert line_of(OSError(errno.ENOSPC, "No space left on device", "/data/x")) == line
    assert line_of(Py4JError("calling o1.save\nCaused by: java.io.IOException: No space left on device")).startswith(
        "no room left on the disk of the folder written to, or of "
    )


def test_a_missing_permission_says_what_to_do() -> None:
    assert line_of(PermissionError(errno.EACCES, "Permission denied", "/data/x")) == (
        "/data/x: Permission denied; mend its permissions, or choose another place"
    )


def test_a_disk_with_too_little_room_is_refused_before_the_start(tmp_path: Path) -> None:
    from serverload.cli.options import check_room

    check_room(tmp_path, needed=1)
    with pytest.raises(PlatformError, match=rf"^{tmp_path}: only .* GiB free, a job needs .* GiB; free some space"):
        check_room(tmp_path, needed=1 << 60)


def test_a_long_log_is_moved_aside_and_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVERLOAD_DEBUG", raising=False)
    monkeypatch.setattr(spark_log, "_KEPT_BYTES", 10)
    first = spark_log.spark_log(str(tmp_path))
    assert first is not None
    long = first.read_text()
    spark_log.spark_log(str(tmp_path))
    assert (first.with_name("spark.log.1").read_text(), first.read_text().count("\n")) == (long, 1)


def test_while_debugging_spark_speaks_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERLOAD_DEBUG", "1")
    assert spark_log.spark_log(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
