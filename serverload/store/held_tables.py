"""The tables of a home held open by a process that reads them again and again: answers in milliseconds, never stale."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from duckdb import DuckDBPyConnection

from serverload.contracts.errors import StoreError
from serverload.contracts.homes import is_local
from serverload.store.table_reader import sql_over

_REMOTE_SECONDS = 10.0
"""A table that is not in a local folder is asked for newer commits at most so often."""

_KEYS_LOCKED = 64

Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class HeldTable:
    """A table at one version (-1: it is not made yet) and what tells whether that still is the newest."""

    version: int
    mark: Hashable = None
    table: DeltaTable | None = None
    read_at: float = field(default_factory=time.monotonic)

    @property
    def stamp(self) -> Hashable:
        """Another one for each version, also of a table that was deleted and made anew."""
        return self.version, self.mark


class HeldTables:
    """The newest versions of a home's tables, and what was worked out from them, within a bound of bytes.

    Safe to use from several threads. A commit is seen by the next question after it, on remote storage within seconds.
    """

    def __init__(self, home: str, kept_bytes: int) -> None:
        """Nothing is opened yet."""
        self.home = home
        self._local = is_local(home)
        self._held: dict[str, HeldTable] = {}
        self._datasets: dict[str, tuple[HeldTable, pads.Dataset | None]] = {}
        self._opening = Lock()
        self.kept = KeptResults(kept_bytes)

    def version(self, name: str) -> int:
        """The newest version of a table; -1 where it is not made yet. Raises StoreError."""
        return self._newest(name).version

    def dataset(self, name: str) -> pads.Dataset | None:
        """The newest version as an Arrow dataset; None where the table is not made yet. Raises StoreError."""
        held = self._newest(name)
        known = self._datasets.get(name)
        if known is None or known[0] is not held:
            known = (held, None if held.table is None else held.table.to_pyarrow_dataset())
            self._datasets[name] = known
        return known[1]

    def highest(self, name: str, column: str) -> datetime | None:
        """The highest time in a column as the log tells of each file, which are not opened; None where it cannot."""

        def told() -> datetime | None:
            table = self._newest(name).table
            actions = None if table is None else pa.table(table.get_add_actions(flatten=True))
            if actions is None or f"max.{column}" not in actions.column_names:
                return None
            highest = actions[f"max.{column}"]
            return None if highest.null_count else cast("datetime | None", pc.max(highest).as_py())

        return self.worked_out(("highest", name, column), [name], told)

    @contextmanager
    def sql(self, *names: str) -> Iterator[DuckDBPyConnection]:
        """A DuckDB connection that sees the newest versions of the tables, and nothing else. Raises StoreError."""
        with ExitStack() as stack:
            datasets = {name: self.dataset(name) for name in names}
            yield stack.enter_context(sql_over(datasets, f"{self.home}/tables"))

    def worked_out(self, key: Hashable, names: Sequence[str], make: Callable[[], Kept]) -> Kept:
        """What `make` gives, kept as long as none of the tables has a newer version and there is room.

        `make` must not ask for what is worked out of another key.
        """
        return self.renewed(key, names, lambda _before: make())

    def renewed(self, key: Hashable, names: Sequence[str], make: Callable[[Kept | None], Kept]) -> Kept:
        """The same, where `make` is given what it made of older versions, or None where that is kept no more."""
        return self.kept.get(key, tuple(self._newest(name).stamp for name in names), make)

    def _newest(self, name: str) -> HeldTable:
        held = self._held.get(name)
        if held is not None and self._still_newest(name, held):
            return held
        with self._opening:
            held = self._held.get(name)
            if held is None or not self._still_newest(name, held):
                held = self._held[name] = self._opened(name)
        return held

    def _still_newest(self, name: str, held: HeldTable) -> bool:
        if not self._local:
            return time.monotonic() - held.read_at < _REMOTE_SECONDS
        if held.version < 0:
            return not os.path.lexists(f"{self.home}/tables/{name}/_delta_log")
        return self._mark(name, held.version) == held.mark and not os.path.lexists(self._commit(name, held.version + 1))

    def _opened(self, name: str) -> HeldTable:
        address = f"{self.home}/tables/{name}"
        try:
            table = DeltaTable(address)
        except TableNotFoundError:
            return HeldTable(-1, self._mark(name, -1))
        except (DeltaError, OSError) as error:
            raise StoreError(f"cannot be read: {error}", where=address, hint="see `serverload doctor`") from error
        return HeldTable(table.version(), self._mark(name, table.version()), table)

    def _commit(self, name: str, version: int) -> str:
        return f"{self.home}/tables/{name}/_delta_log/{version:020}.json"

    def _mark(self, name: str, version: int) -> Hashable:
        """What the file of a commit is: another one after a table was deleted and made anew."""
        if version < 0 or not self._local:
            return None
        try:
            told = os.stat(self._commit(name, version))  # noqa: PTH116
        except OSError:
            return ""
        return told.st_ino, told.st_mtime_ns


class KeptResults:
    """Results by key, the least used forgotten first; each is worked out by one thread while others wait for it.

    What works one out must not ask for another.
    """

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: all kept results together, as `nbytes` tells; what has none counts as a kilobyte."""
        self._most_bytes = most_bytes
        self._bytes = 0
        self._results: OrderedDict[Hashable, tuple[Hashable, object]] = OrderedDict()
        self._lock = Lock()
        self._making = [Lock() for _ in range(_KEYS_LOCKED)]

    def get(self, key: Hashable, stamp: Hashable, make: Callable[[Kept | None], Kept]) -> Kept:
        """The result of a key with this stamp, made where it is not kept; `make` is given that of another stamp."""
        found = self._look(key)
        if found is None or found[0] != stamp:
            with self._making[hash(key) % _KEYS_LOCKED]:
                found = self._look(key)
                if found is None or found[0] != stamp:
                    found = (stamp, make(None if found is None else cast(Kept, found[1])))
                    self._put(key, found)
        return cast(Kept, found[1])

    def _put(self, key: Hashable, entry: tuple[Hashable, object]) -> None:
        with self._lock:
            before = self._results.pop(key, None)
            self._bytes += _size(entry) - (_size(before) if before else 0)
            self._results[key] = entry
            while self._bytes > self._most_bytes:
                self._bytes -= _size(self._results.popitem(last=False)[1])

    def _look(self, key: Hashable) -> tuple[Hashable, object] | None:
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)


def _size(entry: tuple[Hashable, object]) -> int:
    return int(getattr(entry[1], "nbytes", 0)) + 1024
