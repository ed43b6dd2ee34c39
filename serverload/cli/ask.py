"""Commands that ask: forecasts, sql, status, runs, doctor, config show. No Spark."""

import re
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, settings_of, time_of
from serverload.cli.output import checked_format, show, show_plain
from serverload.contracts.errors import InputError
from serverload.contracts.homes import is_local

if TYPE_CHECKING:
    import pyarrow as pa

    from serverload.contracts.settings import Settings
    from serverload.store.doctor import Check

_NEWEST_HOUR = "`serverload status` tells the newest issued hour"

config_app = typer.Typer(help="The settings.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (forecasts, sql, status, runs, doctor):
        app.command()(command)
    app.add_typer(config_app, name="config")


def forecasts(
    config: Config = CONFIG,
    home: Home = None,
    server: Annotated[str | None, typer.Option("--server", help="One server's forecasts.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="The hour that holds this time (UTC).")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As believed at this time (UTC).")] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="What moved the probability of the class.")] = False,
    format: Format = "table",
) -> None:
    """Show the newest forecast of each server and coming hour, or the reasons of one server's."""
    from serverload.store import table_reader

    checked_format(format)
    if reasons and server is None:
        raise InputError("tells the reasons of one server's forecasts", where="--reasons", hint="add --server")
    settings = settings_of(config, home)
    found = table_reader.forecasts(
        settings.home, server=server, at=time_of("--at", at), as_of=time_of("--as-of", as_of)
    )
    if not found.num_rows and reasons:
        raise InputError(f"no forecasts of {server} for that time", hint=_NEWEST_HOUR)
    if not found.num_rows:
        print(f"no forecasts for that time; {_NEWEST_HOUR}", file=sys.stderr)
    show(_reasons(settings, found) if reasons else found, format)


def _reasons(settings: "Settings", issued: "pa.Table") -> "pa.Table":
    """The reasons, and on stderr which forecasts have none or would say something else by now."""
    from serverload.store.forecast_reasons import forecast_reasons

    hours = settings.time.retire_after_hours
    told = forecast_reasons(settings.home, issued, open_registry(settings).flat, retire_after_hours=hours)
    changed = {row["target_hour"]: row["data_changed"] for row in told.to_pylist()}
    if others := issued.num_rows - len(changed):
        print(f"{others} of {issued.num_rows} forecasts rest on no model and have no reasons (basis)", file=sys.stderr)
    if now_else := sum(changed.values()):
        print(
            f"{now_else} of {issued.num_rows} forecasts would be others now: late data has changed what they were made "
            "from (data_changed); the reasons are those of the data as it is",
            file=sys.stderr,
        )
    return told


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over the tables.")],
    config: Config = CONFIG,
    home: Home = None,
    format: Format = "table",
) -> None:
    """Query the tables with DuckDB."""
    from serverload.store import table_reader

    show(table_reader.run_sql(settings_of(config, home).home, query), format)


def status(config: Config = CONFIG, home: Home = None, format: Format = "table") -> None:
    """Tell how the home stands: watermark, lines in and refused, models, age of the newest forecast."""
    from serverload.store.status import status as facts_of

    settings = settings_of(config, home)
    facts = facts_of(
        settings.home, allowed_lateness_minutes=settings.time.allowed_lateness_minutes, now=datetime.now(UTC)
    )
    champion = open_registry(settings).champion()
    facts["champion"] = f"{champion.name} version {champion.version}" if champion else "none yet"
    if is_local(settings.home) and not Path(settings.home, "tables").is_dir():
        print(f"no tables in {settings.home} yet; run `serverload backfill PATH`", file=sys.stderr)
    show_plain([{"fact": name, "value": entry} for name, entry in facts.items()], format)


def runs(
    ids: Annotated[list[str] | None, typer.Argument(help="Runs to compare; none: list the newest.")] = None,
    config: Config = CONFIG,
    home: Home = None,
    job: Annotated[str, typer.Option("--job", help="Only runs of this job.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1)] = 20,
    ui: Annotated[bool, typer.Option("--ui", help="Open MLflow's own pages on the home's store.")] = False,
    format: Format = "table",
) -> None:
    """List the recorded runs of every job, or compare some."""
    from dataclasses import asdict

    from serverload.store import runs as recorded

    checked_format(format)

    tracking = open_registry(settings_of(config, home)).tracking
    if ui:
        import subprocess

        raise typer.Exit(subprocess.call([sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking.uri]))
    if ids:
        show_plain(recorded.compare_runs(tracking, ids), format)
        return
    found = [asdict(row) for row in recorded.list_runs(tracking, job=job, limit=limit)]
    if not found:
        print(f"no runs{f' of {job}' if job else ''} yet in {tracking.place}", file=sys.stderr)
    show_plain(found, format)


def doctor(config: Config = CONFIG, home: Home = None, format: Format = "table") -> None:
    """Check what serverload needs on this machine, and which jobs can be run; exit 1 if the machine lacks anything."""
    from serverload.store.doctor import checks
    from serverload.store.doctor_jobs import job_checks
    from serverload.store.kafka_login import client_options

    settings = settings_of(config, home, home_is_used=False)
    login = partial(client_options, settings.kafka)
    found = checks(settings.home, settings.broker.port, settings.stream.bootstrap, login)
    jobs = job_checks(found, settings, lambda: open_registry(settings).champion() is not None)
    rows = [{"check": c.name, "ok": _mark(c), "found": c.found, "advice": c.advice} for c in (*found, *jobs)]
    show_plain(rows, format)
    if not all(check.ok for check in found):
        raise typer.Exit(1)


def _mark(check: "Check") -> str:
    """Ok, NO, or `later` for a job that waits for another."""
    if not check.ok:
        return "NO"
    return "later" if check.advice else "ok"


@config_app.command("show")
def config_show(config: Config = CONFIG, home: Home = None, format: Format = "table") -> None:
    """Print every setting as it is in force; secrets stay hidden."""
    from serverload.contracts.settings import leaves

    settings = settings_of(config, home, home_is_used=False)
    rows = [{"setting": key, "value": _told(entry)} for key, entry in leaves(settings)]
    show_plain(rows, format)


def _told(entry: object) -> str:
    from serverload.contracts.setting_types import SECRET_NAMES

    if isinstance(entry, dict):
        return str({name: "**********" if re.search(SECRET_NAMES, name) else each for name, each in entry.items()})
    if isinstance(entry, tuple | frozenset):
        return ",".join(str(part) for part in sorted(entry))
    return "" if entry is None else str(entry)
