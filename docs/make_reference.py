"""Write docs/tables.md, settings.md and metrics.md from the code; with --check tell whether they are up to date."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from serverload.contracts.lines import REJECT_REASONS
from serverload.contracts.metrics import METRICS
from serverload.contracts.setting_places import ENV_PREFIX
from serverload.contracts.tables import LOAD_WINDOW_SUMS, TABLES, Table

DOCS = Path(__file__).resolve().parent
BASE = DOCS.parent / "conf" / "base.toml"
MADE_BY = "<!-- Written by docs/make_reference.py; run `make docs` after a change, never edit by hand. -->"


class Setting(NamedTuple):
    """One key of base.toml: its section ('' at the top), name, default as written, and its comment."""

    section: str
    name: str
    default: str
    comment: str


def tables_page() -> str:
    """The page of all tables and reject reasons."""
    intro = (
        "# Tables",
        MADE_BY,
        "Delta tables under `<home>/tables/<name>`, in the plain protocol (reader 1, writer 2). Times are UTC. "
        f"The view `{LOAD_WINDOW_SUMS}`, which `serverload sql` knows too, has one row per server and window: "
        "the partial sums of `load_windows` added.",
    )
    reasons = _rows(("Reason", "What it means"), ((f"`{name}`", what) for name, what in REJECT_REASONS.items()))
    refused = (
        "## Reject reasons",
        "A line is refused for the first of these that holds, and stands in `rejects` with its text.",
        reasons,
    )
    sections = [part for table in TABLES.values() for part in _table(table)]
    return "\n\n".join((*intro, *sections, *refused)) + "\n"


def settings_page() -> str:
    """The page of all settings."""
    found = list(settings())
    parts = [
        "# Settings",
        MADE_BY,
        "Defaults stand in `conf/base.toml`. Later ones win: base, the profile (`--config`), environment, flags. "
        "`serverload config show` prints what is in force.",
    ]
    for section in dict.fromkeys(setting.section for setting in found):
        if section:
            parts.append(f"## [{section}]")
        of_section = (setting for setting in found if setting.section == section)
        rows = ((f"`{s.name}`", f"`{s.default}`", s.comment, f"`{_variable(s)}`") for s in of_section)
        parts.append(_rows(("Key", "Default", "Meaning", "Environment variable"), rows))
    return "\n\n".join(parts) + "\n"


def metrics_page() -> str:
    """The page of all metrics of the stream."""
    intro = (
        "# Metrics",
        MADE_BY,
        "What `serverload stream` tells Prometheus at `http://ADDRESS:PORT/metrics`, where `[metrics] port` is set. "
        "Ages are those of the moment at which it is asked, NaN while nothing is known. Alerts, a dashboard and the "
        "settings of Prometheus: `deploy/`.",
    )
    rows = ((f"`{metric.name}`", metric.kind, _names(metric.labels), metric.what) for metric in METRICS.values())
    return "\n\n".join((*intro, _rows(("Metric", "Kind", "Labels", "Meaning"), rows))) + "\n"


def settings() -> Iterator[Setting]:
    """Read base.toml line by line, so that its comments are kept; an open table (`[spark.settings]`) is one key."""
    section, comments = "", list[str]()
    for line in BASE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comments.append(line.removeprefix("#").strip())
            continue
        if line.startswith("["):
            section = line.strip("[]")
            if "." in section:
                outer, _, name = section.rpartition(".")
                yield Setting(outer, name, "{}", " ".join(comments))
        elif "=" in line:
            name, _, default = line.partition("=")
            yield Setting(section, name.strip(), default.strip(), " ".join(comments))
        comments.clear()


def _table(table: Table) -> Iterator[str]:
    yield f"## {table.name}"
    partitions = f" Partitioned by {_names(table.partition_by)}." if table.partition_by else ""
    yield f"One row per {table.grain}. Key: {_names(table.key)}.{partitions}"
    rows = ((f"`{column.name}`", column.type.lower(), column.comment) for column in table.columns)
    yield _rows(("Column", "Type", "Meaning"), rows)


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _code(name: str) -> str:
    return f"`{name}`"


def _variable(setting: Setting) -> str:
    return ENV_PREFIX + "__".join(part for part in (setting.section, setting.name) if part).upper()


def _rows(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (titles, ("---",) * len(titles), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)


def main() -> int:
    """Write the pages, or, with --check, name those that differ; 1 if any does."""
    pages = {"tables.md": tables_page(), "settings.md": settings_page(), "metrics.md": metrics_page()}
    pages = {DOCS / name: text for name, text in pages.items()}
    if sys.argv[1:] not in ([], ["--check"]):
        print("usage: python docs/make_reference.py [--check]", file=sys.stderr)
        return 2
    if not sys.argv[1:]:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"docs/{path.name} is out of date; run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
