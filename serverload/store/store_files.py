"""Which files a PATH in a store means: the rule of `event_files`, for S3 and Azure by fsspec, for others by Hadoop."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from serverload.contracts.errors import InputError
from serverload.store.event_files import HIDDEN, NO_FILES_HINT, is_hidden, is_meant
from serverload.store.file_openers import FileOpener, protocol_of, store_errors
from serverload.store.storage_options import S3

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_RETIRED = ("wasb", "wasbs")
_GLOB = frozenset("*?[")


@dataclass(frozen=True, order=True)
class StoreFile:
    """A file in a store as it stood when it was found; its address is the same whatever path led to it."""

    uri: str
    size: int
    etag: str


def store_files(path: str, opener: FileOpener, spark: "SparkSession | None" = None) -> list[StoreFile]:
    """Find the files behind a folder, glob or single file of a store.

    Without Spark, what only Hadoop reaches (hdfs://) is not looked at. Raises InputError for a path without files,
    and for a store that cannot be read.
    """
    scheme = urlsplit(path).scheme
    if scheme in _RETIRED:
        raise InputError(
            f"{scheme} is retired by Azure", where=path, hint="use abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/"
        )
    if protocol_of(path) is not None:
        with store_errors(path):
            found = list(_by_fsspec(path, opener.file_system(path)))
    elif spark is not None:
        found = list(_by_hadoop(path, spark))
    else:
        return []
    if not found:
        raise InputError("no files there", where=path, hint=NO_FILES_HINT)
    return sorted(set(found))


def _by_fsspec(path: str, files: Any) -> Iterator[StoreFile]:
    place = files._strip_protocol(path)
    try:  # before it is tried as a pattern: names may have brackets in them
        facts = files.info(place)
        matches = [place]
        if facts["type"] == "file":
            yield _of_fsspec(path, facts)
            return
    except FileNotFoundError:
        if not _GLOB & set(place):
            raise
        matches = files.glob(place)
    for match in matches:
        if match != place and is_hidden(match, place):
            continue
        for name, facts in files.find(match, detail=True).items():  # of a file, itself
            if is_meant(name) and not is_hidden(name.removeprefix(match), ""):
                yield _of_fsspec(path, facts)


def _of_fsspec(path: str, facts: dict[str, Any]) -> StoreFile:
    told = facts.get("ETag") or facts.get("etag") or facts.get("last_modified") or ""
    return StoreFile(_address(path, facts["name"]), int(facts["size"]), str(told).strip('"'))


def _address(path: str, name: str) -> str:
    """The address of `container/key`: s3:// and s3a://, abfs:// and abfss:// name the same files."""
    if protocol_of(path) == S3:
        return f"s3a://{name}"
    return f"abfss://{urlsplit(path).netloc}/{name.partition('/')[2]}"


def _by_hadoop(path: str, spark: "SparkSession") -> Iterator[StoreFile]:
    from py4j.protocol import Py4JJavaError  # here: a wrong path is told before Spark is needed

    from serverload.store.java_classes import java_class

    place = java_class(spark, "org.apache.hadoop.fs.Path")(path)
    try:
        files = place.getFileSystem(cast(Any, spark._jsc).hadoopConfiguration())
        for match in [files.getFileStatus(place)] if files.exists(place) else files.globStatus(place) or ():
            name = match.getPath().getName()
            if match.isFile():
                if name.startswith(HIDDEN):
                    what = "Spark passes over files whose names begin with . or _"
                    raise InputError(what, where=match.getPath().toString(), hint="give it another name")
                if name == place.getName() or is_meant(name):
                    yield _of_hadoop(match)
                continue
            inside = files.listFiles(match.getPath(), True)
            while inside.hasNext():
                status = inside.next()
                below = status.getPath().toUri().getPath().removeprefix(match.getPath().toUri().getPath())
                if is_meant(below) and not is_hidden(below, ""):
                    yield _of_hadoop(status)
    except Py4JJavaError as error:
        told = str(error.java_exception.getMessage()).splitlines()[0]
        raise InputError(f"cannot be read: {told}", where=path, hint="see docs/runbook.md") from error


def _of_hadoop(status: Any) -> StoreFile:
    return StoreFile(status.getPath().toString(), int(status.getLen()), str(status.getModificationTime()))
