"""Bytes of a file for whoever reads ranges of it: of a local one, or by fsspec of one in a store."""

import gzip
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from serverload.contracts.errors import InputError, PlatformError
from serverload.store.storage_options import AZURE, FSSPEC_PROTOCOLS, S3, FsspecOptions

_READ_AHEAD_BYTES = 4 * 1024 * 1024
_PACKAGES = {S3: "s3fs", AZURE: "adlfs"}
_SETTINGS_HINT = "check [storage] and its secrets; see docs/runbook.md"


@dataclass(frozen=True)
class FileOpener:
    """Opens files of this machine, and of stores with the options given; travels to Spark's Python workers."""

    options: FsspecOptions = field(default_factory=dict, repr=False)

    def opened(self, uri: str) -> BinaryIO:
        """A file at its beginning, unpacked where it is compressed. Raises InputError where it cannot be read."""
        if protocol_of(uri) is None:
            path = local_path(uri)
            return cast(BinaryIO, gzip.open(path, "rb")) if is_compressed(uri) else path.open("rb", buffering=0)
        with store_errors(uri):
            # whoever reads ranges asks for megabytes at a time; gzip asks for some kilobytes
            cache = {"cache_type": "readahead", "block_size": _READ_AHEAD_BYTES} if is_compressed(uri) else {}
            found = self.file_system(uri).open(uri, "rb", **(cache or {"cache_type": "none"}))
        return cast(BinaryIO, gzip.open(found, "rb")) if is_compressed(uri) else cast(BinaryIO, found)

    def size(self, uri: str) -> int:
        """Bytes of a file."""
        if protocol_of(uri) is None:
            return local_path(uri).stat().st_size
        with store_errors(uri):
            return int(self.file_system(uri).size(uri))

    def file_system(self, uri: str) -> Any:
        """Fsspec's file system of an address. Raises PlatformError where its package is not installed."""
        protocol = protocol_of(uri) or "file"
        try:
            importlib.import_module(_PACKAGES.get(protocol, "fsspec"))
        except ImportError as error:
            what = f"{_PACKAGES.get(protocol, 'fsspec')} is not installed"
            raise PlatformError(what, where=uri, hint="pip install 'serverload[cloud]'") from error
        from fsspec.core import url_to_fs

        # a listing that is kept would hide what has changed since
        return url_to_fs(uri, use_listings_cache=False, **self.options.get(protocol, {}))[0]


LOCAL_FILES = FileOpener()


def protocol_of(uri: str) -> str | None:
    """Fsspec's name for the store of an address; None for this machine, and for what only Hadoop reaches."""
    return FSSPEC_PROTOCOLS.get(urlsplit(uri).scheme)


def has_byte_ranges(uri: str) -> bool:
    """Tell whether Python can read ranges of a file; of others, such as hdfs://, Spark has to bring the lines."""
    return "://" not in uri or uri.startswith("file://") or protocol_of(uri) is not None


def is_compressed(uri: str) -> bool:
    """Tell whether a file can only be read from its beginning."""
    return uri.endswith(".gz")


def local_path(uri: str) -> Path:
    """The path of a local address."""
    return Path(uri.removeprefix("file://"))


@contextmanager
def store_errors(where: str) -> Iterator[None]:
    """Turn what s3fs, adlfs and the clients below them raise into an InputError of one line, which quotes no key.

    Errors of local files are left as they are.
    """
    try:
        yield
    except Exception as error:
        if protocol_of(where) is None or not _of_a_store(error):
            raise
        told = "no such file or bucket" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise InputError(f"cannot be read: {told}", where=where, hint=_SETTINGS_HINT) from error


def _of_a_store(error: Exception) -> bool:
    clients = ("botocore.", "aiobotocore.", "azure.", "aiohttp.")
    return isinstance(error, OSError) or type(error).__module__.startswith(clients)
