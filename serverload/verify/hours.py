"""Are the hours and the servers those of the window sums?"""

from collections.abc import Iterator

from serverload.advance.hours import NOTE
from serverload.contracts.tables import TABLES
from serverload.steps.peaks import hourly_peaks
from serverload.steps.servers import known_servers
from serverload.steps.windows import window_sums
from serverload.store.delta_tables import NO_VERSION
from serverload.store.home_snapshot import HomeSnapshot
from serverload.verify.checks import Check, compared


def hours_check(tables: HomeSnapshot) -> Check:
    """`hourly_load` against the peaks of all window sums that it has seen."""
    name, seen = "hourly_load", _seen_version(tables)
    if not tables.holds("load_windows", seen):
        return Check(name, unchecked=f"version {seen} of load_windows, which it was made from, is gone: run any job")
    expected = hourly_peaks(window_sums(tables.read_version("load_windows", seen)))
    return compared(name, expected, tables.read(name), TABLES[name].key, _waiting(tables, seen))


def servers_check(tables: HomeSnapshot) -> Check:
    """`servers` against all window sums; where an advance was cut short it may be ahead of `hourly_load`."""
    name, seen = "servers", _seen_version(tables)
    if not tables.holds("load_windows", seen):
        return Check(name, unchecked=f"version {seen} of load_windows, which it was made from, is gone: run any job")
    return min(_servers_compared(tables, seen), key=lambda check: check.differing)


def _servers_compared(tables: HomeSnapshot, seen: int) -> Iterator[Check]:
    none = tables.read_version("servers", NO_VERSION)
    for version in sorted({seen, tables.version("load_windows")}):
        expected = known_servers(tables.read_version("load_windows", version), none)
        names = TABLES["servers"].column_names
        found = tables.read("servers").select(*names)
        yield compared("servers", expected.select(*names), found, TABLES["servers"].key, _waiting(tables, seen))


def _seen_version(tables: HomeSnapshot) -> int:
    """The version of `load_windows` that `hourly_load` has the sums of."""
    noted = tables.newest_note("hourly_load", NOTE)
    return NO_VERSION if noted is None else tables.version_as_of("load_windows", int(noted))


def _waiting(tables: HomeSnapshot, seen: int) -> str:
    waiting = tables.version("load_windows") - seen
    return f"{waiting} commits of load_windows that the next advance takes in" if waiting else ""
