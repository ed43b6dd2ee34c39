"""Access to storage beyond this machine, as it is set. Meanings stand in conf/base.toml."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from serverload.contracts.setting_types import Section


class StorageSettings(Section):
    """Places and secrets of S3 and of Azure Data Lake Storage; what is empty is found as their own clients find it."""

    s3_endpoint: str
    s3_region: str
    s3_access_key: SecretStr
    s3_secret_key: SecretStr
    s3_commits: Literal["", "one-writer", "dynamodb"]
    azure_account_key: SecretStr


def storage_fault(storage: StorageSettings) -> tuple[str, str] | None:
    """The first key that cannot work beside the others, and why; None where all is well."""
    if storage.s3_endpoint and not storage.s3_endpoint.startswith(("http://", "https://")):
        return "s3_endpoint", "expected http://HOST:PORT or https://HOST"
    key, secret = (bool(each.get_secret_value()) for each in (storage.s3_access_key, storage.s3_secret_key))
    if key != secret:
        return ("s3_secret_key" if key else "s3_access_key"), "is needed beside the other"
    return None


def home_fault(storage: StorageSettings, home: str) -> tuple[str, str, str] | None:
    """Why tables in this home would be lost or not be found: a key, what is wrong and what to do; None if all is well.

    A commit to a Delta table must not replace another one. Local folders, HDFS and abfss:// see to it themselves; S3
    does not, so that two jobs that commit at once lose one commit without a word.
    """
    scheme = urlsplit(home).scheme
    if scheme in ("wasb", "wasbs"):
        return "home", f"{scheme} is retired by Azure", "use abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/"
    if scheme in ("s3", "s3n", "abfs", "http", "https"):
        wanted = "abfss://" if scheme == "abfs" else "s3a://"
        return "home", f"tables cannot be kept at {scheme}://", f"use {wanted}, hdfs:// or a local folder"
    if scheme == "s3a" and not storage.s3_commits:
        hint = "set it to one-writer and never run two jobs at once, or to dynamodb; see docs/runbook.md"
        return "storage.s3_commits", "S3 lets one job's commit replace another's", hint
    return None
