"""The jars that Spark and the embedded broker need: one pinned list, fetched once, checked by sha256 on every use.

`jars.sha256` is the lock: it alone says which files are used. The roots below only tell Ivy where to begin;
after changing one, run `python -m serverload.store.jars --record` and review the difference of the lock.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock

from serverload.contracts.errors import PlatformError
from serverload.store.java import find_java

Kind = Literal["spark", "broker"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LOCK_LIST = Path(__file__).with_name("jars.sha256")
VERSION_SET = "spark-4.2.0_delta-4.4.0_kafka-4.3.1"
ROOTS: dict[Kind, tuple[tuple[str, str, str], ...]] = {
    "spark": (
        ("io.delta", "delta-spark_4.2_2.13", "4.4.0"),
        ("org.apache.spark", "spark-sql-kafka-0-10_2.13", "4.2.0"),
    ),
    "broker": (
        ("org.apache.kafka", "kafka_2.13", "4.3.1"),
        # without an slf4j binding the broker logs nothing; this one fits the slf4j 1.7 and log4j 2.25.4 it brings
        ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"),
    ),
}
# What pyspark ships in a newer or equal version: two of them on one class path clash.
EXCLUDED: dict[Kind, tuple[tuple[str, str], ...]] = {
    "spark": (
        ("org.apache.hadoop", "*"),
        ("org.apache.parquet", "*"),
        ("org.apache.logging.log4j", "*"),
        ("org.apache.spark", "spark-tags_2.13"),
        ("org.slf4j", "*"),
        ("org.scala-lang", "*"),
        ("org.scala-lang.modules", "*"),
        ("com.fasterxml.jackson.core", "*"),
        ("com.google.code.findbugs", "jsr305"),
        ("com.github.luben", "zstd-jni"),
        ("at.yawk.lz4", "lz4-java"),
        ("org.lz4", "lz4-java"),
        ("org.xerial.snappy", "snappy-java"),
        ("io.airlift", "aircompressor"),
        ("commons-pool", "commons-pool"),
        ("org.roaringbitmap", "*"),
        ("org.locationtech.jts", "*"),
    ),
    "broker": (),
}
GET_JARS = f"run `{sys.executable} -m serverload.store.jars` with the network there"
_FETCH_SECONDS = 900


def spark_jars() -> list[Path]:
    """Return the jars to put into `spark.jars`, fetching them on first use; PlatformError when that cannot be."""
    return fetch("spark")


def broker_jars() -> list[Path]:
    """Return the class path of the embedded broker, fetching it on first use; PlatformError when that cannot be."""
    return fetch("broker")


def jars_root(env: Mapping[str, str] | None = None) -> Path:
    """Return the folder that holds one folder per kind; SERVERLOAD_JARS names it, for images and machines offline."""
    values = os.environ if env is None else env
    if chosen := values.get("SERVERLOAD_JARS"):
        return Path(chosen).absolute()
    cache = values.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "serverload" / "jars" / VERSION_SET


def recorded(kind: Kind, lock_list: Path = LOCK_LIST) -> dict[str, str]:
    """Return file name -> sha256 of the jars of a kind, in the order of their names."""
    rows = (line.split() for line in lock_list.read_text(encoding="ascii").splitlines())
    return {row[1]: row[0] for row in rows if len(row) == 3 and row[2] == kind}


def first_fault(folder: Path, expected: Mapping[str, str]) -> str | None:
    """Say in a few words what makes a folder unfit (a jar missing or altered); None when it is complete.

    Every byte is read: 45 MB take less than a tenth of a second, and a stamp would not see an altered jar.
    """
    for name, sha256 in expected.items():
        jar = folder / name
        if not jar.is_file():
            return f"{name} is missing"
        with jar.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return f"{name} has another sha256 than the recorded one"
    return None


def fetch(kind: Kind, *, root: Path | None = None, lock_list: Path = LOCK_LIST) -> list[Path]:
    """Return the recorded jars of a kind, from the cache when complete (no network, no Java), else by Ivy.

    Safe beside other processes: one fetches, the others wait, and a folder appears whole or not at all.
    """
    home = root or jars_root()
    folder, expected = home / kind, recorded(kind, lock_list)
    if first_fault(folder, expected) is not None:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with FileLock(home / f".{kind}.lock"):
                if first_fault(folder, expected) is not None:  # another process may have fetched meanwhile
                    _fill(kind, folder, expected)
        except OSError as error:
            hint = "set SERVERLOAD_JARS to a folder that can be written"
            raise _not_fetched(kind, f"{error.strerror or error} ({home})", hint) from error
    return [folder / name for name in expected]


def _fill(kind: Kind, folder: Path, expected: Mapping[str, str]) -> None:
    """Resolve into a temporary folder beside the final one, check it, then move it into place."""
    print(f"fetching {len(expected)} jars for {kind} (once, about a minute) ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=f".{kind}-", dir=folder.parent) as temporary:
        resolved = _resolved(kind, Path(temporary))
        if fault := first_fault(resolved, expected):
            raise _not_fetched(kind, fault)
        for extra in {path.name for path in resolved.iterdir()} - set(expected):
            (resolved / extra).unlink()
        if folder.exists():
            folder.rename(Path(temporary) / "replaced")
        resolved.rename(folder)


def _resolved(kind: Kind, folder: Path) -> Path:
    """Let the Ivy inside pyspark bring the roots and all they need; SERVERLOAD_IVY_SETTINGS may name a mirror.

    It runs in the folder with relative names, because brackets in a path would be read as part of Ivy's pattern.
    """
    (folder / "ivy.xml").write_text(_ivy_module(kind), encoding="ascii")
    command = [str(find_java().executable.absolute()), "-jar", str(_ivy_jar()), "-cache", "cache", "-ivy", "ivy.xml"]
    if settings := os.environ.get("SERVERLOAD_IVY_SETTINGS"):
        command += ["-settings", str(Path(settings).absolute())]
    command += ["-confs", "default", "-types", "jar", "bundle"]
    command += ["-retrieve", "resolved/[artifact]-[revision](-[classifier]).[ext]"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_FETCH_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise _not_fetched(kind, f"no answer within {_FETCH_SECONDS} s") from error
    if done.returncode != 0 or not (folder / "resolved").is_dir():
        raise _not_fetched(kind, _complaint(done.stdout + done.stderr))
    return folder / "resolved"


def _ivy_module(kind: Kind) -> str:
    """Return the ivy.xml of a kind: its roots with all they need, without what is excluded."""
    roots = (f'<dependency org="{o}" name="{n}" rev="{v}" conf="default->default"/>' for o, n, v in ROOTS[kind])
    excluded = (f'<exclude org="{org}" module="{module}"/>' for org, module in EXCLUDED[kind])
    return (
        f'<ivy-module version="2.0"><info organisation="serverload" module="{kind}"/>'
        '<configurations><conf name="default"/></configurations>'
        f"<dependencies>{''.join(roots)}{''.join(excluded)}</dependencies></ivy-module>"
    )


def _ivy_jar() -> Path:
    """Return pyspark's own Ivy; found without importing pyspark, which costs most of a second."""
    spec = importlib.util.find_spec("pyspark")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for jar in sorted((Path(location) / "jars").glob("ivy-*.jar")):
            return jar
    raise PlatformError("pyspark with its jars/ivy-*.jar is not installed", hint="install serverload with its packages")


def _complaint(output: str) -> str:
    """Return Ivy's most telling complaint: what it could not reach, else what it did not find, else its last line."""
    lines = [line.strip(" :") for line in output.splitlines() if line.strip(" :")]
    for mark in ("Server access error", "not found", "Exception"):
        if found := [line for line in lines if mark in line]:
            return found[0][:300]
    return (lines or ["the resolver said nothing"])[-1][:300]


def _not_fetched(kind: Kind, why: str, hint: str = GET_JARS) -> PlatformError:
    """Return the one line that every failure of a fetch ends in."""
    return PlatformError(f"the jars for {kind} are not fetched: {why}", hint=hint)


def _record() -> None:
    """Resolve both kinds anew and write the lock from all that came."""
    lines = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as temporary:
            for jar in sorted(_resolved(kind, Path(temporary)).iterdir()):
                lines.append(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}  {kind}\n")
    LOCK_LIST.write_text("".join(lines), encoding="ascii")


def main(arguments: list[str]) -> int:
    """Fetch both kinds side by side (`make setup`); with --record, write the lock anew instead."""
    try:
        if "--record" in arguments:
            _record()
        with ThreadPoolExecutor(len(KINDS)) as workers:
            for jars in workers.map(fetch, KINDS):
                print(f"{jars[0].parent}: {len(jars)} jars complete", file=sys.stderr)
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
