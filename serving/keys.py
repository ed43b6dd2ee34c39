"""The keys that callers show: made, kept as hashes in a file, looked up in constant time."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from serverload.contracts.errors import InputError

READ, SCORE = SCOPES = ("read", "score")
_PREFIX = "sl_"
_HINT = "`serverload serve key NAME` writes it"


@dataclass(frozen=True)
class Key:
    """One key: its name, what it may do, and the SHA-256 of its text, which is long and random."""

    name: str
    scopes: tuple[str, ...]
    sha256: str


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file. Raises InputError, which quotes nothing of it, where it is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        keys = tuple(_key(each) for each in told["keys"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"is no file of keys ({type(error).__name__})", where=str(path), hint=_HINT) from error
    return keys


def _key(told: dict[str, Any]) -> Key:
    key = Key(str(told["name"]), tuple(told["scopes"]), str(told["sha256"]))
    if not set(key.scopes) <= set(SCOPES) or len(bytes.fromhex(key.sha256)) != hashlib.sha256().digest_size:
        raise ValueError(key.name)
    return key


def make_key(path: Path, name: str, scopes: Sequence[str], *, replace: bool = False) -> str:
    """Add a key to a file, which is made where there is none; the key itself is returned and kept nowhere.

    Raises InputError for an unknown scope, and for a name that is there unless it is to be replaced.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise InputError(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(SCOPES)}", where="--scope")
    text = _PREFIX + secrets.token_urlsafe(32)
    with FileLock(f"{path}.lock"):
        others = [key for key in read_keys(path) if key.name != name] if path.exists() else []
        if path.exists() and not replace and len(others) < len(read_keys(path)):
            hint = "--replace makes it anew and ends the old one; for some time of both take another name"
            raise InputError(f"there is a key {name!r} already", where=str(path), hint=hint)
        _write(path, [*others, Key(name, tuple(dict.fromkeys(scopes)), _digest(text))])
    return text


def remove_key(path: Path, name: str) -> None:
    """Take a key out of a file. Raises InputError where it has none of that name."""
    with FileLock(f"{path}.lock"):
        keys = read_keys(path)
        others = [key for key in keys if key.name != name]
        if len(others) == len(keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise InputError(f"there is no key {name!r}", where=str(path), hint=f"there are: {known}")
        _write(path, others)


def holder(keys: Sequence[Key], shown: str) -> Key | None:
    """The key that a caller has shown; each is compared, in a time that tells nothing of how alike they are."""
    digest, found = _digest(shown), None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _write(path: Path, keys: Sequence[Key]) -> None:
    """Write the file whole or not at all, for its owner alone."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.touch(mode=0o600)
        made.write_text(json.dumps({"keys": [asdict(key) for key in keys]}, indent=1) + "\n", encoding="utf-8")
        made.replace(path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from error
