"""The command that keeps a home's tables small: compact."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from serverload.cli.console import progress
from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, open_tables, settings_of
from serverload.cli.output import checked_format, show_plain
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from batch.compact import TableUpkeep
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compact)


def compact(config: Config = CONFIG, home: Home = None, format: Format = "table") -> None:
    """Add up the partial window sums of closed days, put small files together, delete old ones; the stream may run."""
    settings = settings_of(config, home)
    checked_format(format)
    with progress() as bar:
        done = run_compact(settings, open_tables(settings, "compact", bar), open_registry(settings), bar)
    show_plain([_row(table) for table in done], format)


def run_compact(
    settings: "Settings", tables: "DeltaTables", registry: "ModelRegistry", bar: Progress
) -> "list[TableUpkeep]":
    """Compact up to the last day that the watermark has closed, as one recorded run."""
    from batch.compact import compact as compact_tables
    from serverload.advance import fleet_watermark
    from serverload.contracts.instants import EPOCH
    from serverload.store.runs import job_run

    retain_hours = settings.upkeep.retain_hours
    with job_run(registry.tracking, "compact", {"retain_hours": retain_hours}) as run:
        reached = fleet_watermark(tables, settings.time.allowed_lateness_minutes) or EPOCH
        closed_until = reached.replace(hour=0, minute=0, second=0, microsecond=0)
        done = compact_tables(tables, closed_until=closed_until, retain_hours=retain_hours, progress=bar)
        run.note_data(rows=sum(table.before.rows for table in done))
        for when, sizes in (("before", [t.before for t in done]), ("after", [t.after for t in done])):
            run.note_metrics({f"files_{when}": float(sum(size.files for size in sizes))})
            run.note_metrics({f"disk_bytes_{when}": float(sum(size.disk_bytes for size in sizes))})
    return done


def _row(done: "TableUpkeep") -> dict[str, object]:
    before, after = asdict(done.before), asdict(done.after)
    pairs = {f"{name}_{when}": size[name] for name in before for when, size in (("before", before), ("after", after))}
    return {"table": done.table, **pairs}
