"""The one place in which settings of storage become options: of fsspec in Python, of Hadoop in Spark, of deltalake."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from serverload.contracts.storage_settings import StorageSettings

S3, AZURE = "s3", "abfs"
FSSPEC_PROTOCOLS = {"s3": S3, "s3a": S3, "abfs": AZURE, "abfss": AZURE}
"""Schemes of addresses that Python reaches by fsspec, and fsspec's name for each."""

FsspecOptions = Mapping[str, Mapping[str, Any]]
"""By protocol, what fsspec's file systems are opened with; holds secrets."""

_IN_USE = list[StorageSettings]()


def use_storage(storage: StorageSettings) -> None:
    """Let whatever in this process reads tables without Spark log in by these settings.

    What reads is told a home's address only.
    """
    _IN_USE[:] = [storage]


def fsspec_options(storage: StorageSettings) -> FsspecOptions:
    """Options of s3fs and adlfs."""
    s3: dict[str, Any] = {}
    if storage.s3_access_key.get_secret_value():
        s3 |= {"key": storage.s3_access_key.get_secret_value(), "secret": storage.s3_secret_key.get_secret_value()}
    if storage.s3_endpoint:
        s3["endpoint_url"] = storage.s3_endpoint
    if storage.s3_region:
        s3["client_kwargs"] = {"region_name": storage.s3_region}
    azure_key = storage.azure_account_key.get_secret_value()
    # without a key adlfs takes what Entra ID offers, if it is told not to come as nobody
    return {S3: s3, AZURE: {"account_key": azure_key} if azure_key else {"anon": False}}


def hadoop_options(storage: StorageSettings, home: str) -> dict[str, str]:
    """Settings of Spark by which Hadoop's connectors reach a home; empty for a local one."""
    scheme, options = urlsplit(home).scheme, dict[str, str]()
    if scheme == "s3a":
        options = {
            "fs.s3a.access.key": storage.s3_access_key.get_secret_value(),
            "fs.s3a.secret.key": storage.s3_secret_key.get_secret_value(),
            "fs.s3a.endpoint": storage.s3_endpoint,
            "fs.s3a.endpoint.region": storage.s3_region,
            # of other stores, buckets have no names of their own in DNS
            "fs.s3a.path.style.access": "true" if storage.s3_endpoint else "",
        }
        if storage.s3_commits == "dynamodb":
            log_store = {"spark.delta.logStore.s3a.impl": "io.delta.storage.S3DynamoDBLogStore"}
            return log_store | _given(options)
    elif scheme == "abfss":
        host = urlsplit(home).hostname or ""
        options = {f"fs.azure.account.key.{host}": storage.azure_account_key.get_secret_value()}
    return _given(options)


def _given(options: Mapping[str, str]) -> dict[str, str]:
    return {f"spark.hadoop.{name}": entry for name, entry in options.items() if entry}


def delta_options(home: str) -> dict[str, str]:
    """`storage_options` by which deltalake reaches a home, by the settings in use; empty for a local one."""
    if not _IN_USE:
        return {}
    storage, scheme, options = _IN_USE[0], urlsplit(home).scheme, dict[str, str]()
    if scheme == "s3a":
        options = {
            "AWS_ACCESS_KEY_ID": storage.s3_access_key.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": storage.s3_secret_key.get_secret_value(),
            "AWS_ENDPOINT_URL": storage.s3_endpoint,
            "AWS_REGION": storage.s3_region,
            "AWS_ALLOW_HTTP": "true" if storage.s3_endpoint.startswith("http://") else "",
        }
    elif scheme == "abfss":
        options = {"AZURE_STORAGE_ACCOUNT_KEY": storage.azure_account_key.get_secret_value()}
    return {name: entry for name, entry in options.items() if entry}
