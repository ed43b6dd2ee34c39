"""Is this machine fit? Each check tells what it found and, where that will not do, what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serverload.contracts.errors import ServerloadError
from serverload.contracts.homes import is_local
from serverload.store.broker import DEFAULT_PORT, EmbeddedBroker, bootstrap_for, topic_count
from serverload.store.broker_setup import chosen_ports
from serverload.store.jars import GET_JARS, KINDS, Kind, first_fault, jars_root, recorded
from serverload.store.java import find_spark_java

PINS = {"pyspark": "4.2.0", "delta-spark": "4.4.0", "kafka-python": "3.0.12", "mlflow": "3.17.2", "deltalake": "1.6.6"}
GIB = 1 << 30
MEMORY_GIB = 6
DISK_GIB = 5
TEMPORARY_GIB = 2
CLOCK_NOT_BEFORE = 1_767_225_600  # 2026-01-01: the pins are younger


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report; `advice` is empty where nothing needs to be done."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def checks(
    home: str, port: int = DEFAULT_PORT, bootstrap: str = "", login: Callable[[], Mapping[str, Any]] = dict
) -> list[Check]:
    """Look at everything that a first run needs; takes a second or two, changes nothing, never raises.

    `bootstrap` are the addresses of a broker other than the home's own; `login` gives kafka-python's options for it.
    """
    asked: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("java", _java),
        ("packages", _packages),
        ("spark home", _spark_home),
        *((f"{kind} jars", partial(_jars, kind)) for kind in KINDS),
        ("home", lambda: _home(home)),
        ("disk", lambda: _disk("disk", home, DISK_GIB)),
        ("temporary files", lambda: _disk("temporary files", tempfile.gettempdir(), TEMPORARY_GIB)),
        ("memory", _memory),
        ("broker", lambda: _other_broker(bootstrap, login()) if bootstrap else _broker(home, login)),
        ("broker port", lambda: _port(home, port)),
        ("clock", _clock),
        ("container engine", _engine),
    ]
    return [_outcome(name, look) for name, look in asked]


def _outcome(name: str, look: Callable[[], Check]) -> Check:
    """Turn a refusal into a line of the report: a report that ends in the middle helps nobody."""
    try:
        return look()
    except ServerloadError as error:
        found, _, advice = str(error).partition("; ")
        return Check(name, False, found, advice)
    except OSError as error:
        return Check(name, False, str(error), "see the message")


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    fit = sys.version_info >= (3, 11)
    return Check("python", fit, f"{found} ({sys.executable})", "" if fit else "install Python 3.11 or later")


def _java() -> Check:
    java = find_spark_java()
    return Check("java", True, f"{java.major} ({java.executable})")


def _packages() -> Check:
    """Compare with the pins: a pyspark that differs from the jars fails late and unclearly."""
    installed = {name: _version(name) for name in PINS}
    wrong = {name: found for name, found in installed.items() if found != PINS[name]}
    wanted = " ".join(f"{name}=={PINS[name]}" for name in wrong)
    found = ", ".join(f"{name} {number}" for name, number in (wrong or installed).items())
    return Check("packages", not wrong, found, f"pip install {wanted}" if wrong else "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _spark_home() -> Check:
    """Warn of SPARK_HOME: pyspark then starts that Spark, whatever its version, not its own."""
    spark_home = os.environ.get("SPARK_HOME", "")
    fit = not spark_home or (Path(spark_home) / "jars" / f"spark-core_2.13-{PINS['pyspark']}.jar").exists()
    advice = "" if fit else f"unset SPARK_HOME, or point it to Spark {PINS['pyspark']} with Scala 2.13"
    return Check("spark home", fit, spark_home or "not set: the Spark inside pyspark", advice)


def _jars(kind: Kind) -> Check:
    folder, expected = jars_root() / kind, recorded(kind)
    fault = first_fault(folder, expected)
    found = f"{folder}: {fault or f'{len(expected)} jars complete'}"
    return Check(f"{kind} jars", fault is None, found, GET_JARS if fault else "")


def _home(home: str) -> Check:
    """Try to write, because permission bits do not tell of read-only mounts and quotas."""
    if not is_local(home):
        return Check("home", True, f"{home} (not local, not tried)")
    folder = _existing(home)
    if (in_the_way := _file_at(home)) is not None:
        return Check("home", False, f"{in_the_way} is a file, not a folder", "choose another with --home")
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"serverload")
    except OSError as error:
        return Check(
            "home", False, f"{folder}: {error.strerror}", "choose another with --home, or mend its permissions"
        )
    return Check("home", True, f"{Path(home).absolute()} can be written")


def _disk(name: str, place: str, needed_gib: int) -> Check:
    if not is_local(place):
        return Check(name, True, f"{place} (not local, not asked)")
    free = shutil.disk_usage(_existing(place)).free / GIB
    advice = "" if free >= needed_gib else f"free some space: {needed_gib} GiB are a comfortable start"
    return Check(name, not advice, f"{free:.1f} GiB free at {_existing(place)}", advice)


def _existing(place: str) -> Path:
    """Return the place, or its nearest parent folder that is already there."""
    path = Path(place).expanduser().absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _file_at(place: str) -> Path | None:
    """Return what stands where a folder of the path should be, if anything does."""
    path = Path(place).expanduser().absolute()
    return next((part for part in (path, *path.parents) if part.is_file()), None)


def _memory() -> Check:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's own limit, in cgroup v2
    if limit.exists() and (told := limit.read_text(encoding="ascii").strip()).isdigit():
        total = min(total, int(told))
    advice = "" if total >= MEMORY_GIB * GIB else 'set SERVERLOAD_SPARK__DRIVER_MEMORY, for instance to "2g"'
    return Check("memory", not advice, f"{total / GIB:.1f} GiB", advice)


def _other_broker(bootstrap: str, login: Mapping[str, Any]) -> Check:
    topics = topic_count(bootstrap, login)
    if topics is None:
        return Check("broker", False, f"{bootstrap}, does not answer", "check [stream] bootstrap and [kafka]")
    return Check("broker", True, f"{bootstrap}, {topics} topics that we may see")


def _broker(home: str, login: Callable[[], Mapping[str, Any]]) -> Check:
    """Tell of the home's broker; that none runs is nothing bad."""
    if bootstrap_for(home) is None:
        return Check("broker", True, "not running (start it with `serverload broker start`, or use your own)")
    status = EmbeddedBroker(client=login()).status(home)
    found = f"{status.bootstrap}, process {status.pid}"
    if status.topics is None:
        return Check("broker", False, f"{found}, does not answer", "stop it and start it again")
    return Check("broker", True, f"{found}, {status.topics} topics, {status.data_bytes / GIB:.1f} GiB")


def _port(home: str, port: int) -> Check:
    """Tell whether the broker's port can be had; a running broker of the home needs none any more."""
    if running := bootstrap_for(home):
        return Check("broker port", True, f"this home's broker has {running}")
    chosen_ports(port)
    return Check("broker port", True, f"{port} is free" if port else "a free one will be taken")


def _clock() -> Check:
    """Look for a clock that stands: with one, every live line would be refused as `ahead`."""
    fit = time.time() > CLOCK_NOT_BEFORE
    found = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC, local zone {time.tzname[0]}"
    return Check("clock", fit, found, "" if fit else "set the machine's clock: live lines would be refused as `ahead`")


def _engine() -> Check:
    """Tell of a container engine; only compose and some tests use one."""
    docker = shutil.which("docker")
    if docker is None:
        return Check("container engine", True, "none (not needed)")
    try:
        done = subprocess.run([docker, "version"], capture_output=True, timeout=3)
    except subprocess.TimeoutExpired:
        return Check("container engine", True, "docker does not answer (not needed)")
    answers = "docker answers" if done.returncode == 0 else "docker without a running engine"
    return Check("container engine", True, f"{answers} (not needed)")
