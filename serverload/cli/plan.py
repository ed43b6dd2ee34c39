"""The command that says what to do about the load to come: plan. No Spark."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverload.cli.options import CONFIG, Config, Format, Home, settings_of, time_of
from serverload.cli.output import checked_format, show
from serverload.contracts.errors import InputError

if TYPE_CHECKING:
    from serverload.contracts.settings import Settings
    from serverload.store.plan import Plan

_BY = ("type", "file")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    config: Config = CONFIG,
    home: Home = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Merge within a server type, or a group of the file (if there is one).")
    ] = None,
    groups_file: Annotated[str | None, typer.Option("--groups-file", help="CSV file: server,group.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As believed at this time (UTC).")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="How often would past advice have held?")] = False,
    days: Annotated[int, typer.Option("--days", min=1, help="With --replay: the newest days.")] = 14,
    step_hours: Annotated[int, typer.Option("--step-hours", min=1, help="With --replay: a plan so often.")] = 24,
    format: Format = "table",
) -> None:
    """Advise on the next 48 hours: servers to merge, servers that need more, windows to work on them. No Spark."""
    from serverload.store.plan import PlanRules
    from serverload.store.plan import plan as planned
    from serverload.store.plan_replay import replayed_plans

    checked_format(format)
    if replay and as_of:
        raise typer.BadParameter("--as-of goes not with --replay")
    time = time_of("--as-of", as_of)
    settings = settings_of(config, home, serve={"groups_file": groups_file})
    rules, groups = PlanRules.of(settings), _groups(settings, by)
    if replay:
        show(replayed_plans(settings.home, rules, groups=groups, days=days, step_hours=step_hours), format)
        return
    made = planned(settings.home, rules, groups=groups, as_of=time)
    _tell(made, time or datetime.now(UTC))
    show(made.rows(), format)


def _groups(settings: "Settings", by: str | None) -> Mapping[str, str] | None:
    """Group by server, as the file tells; None where server types are the groups."""
    from serving.groups import read_groups

    if by not in (None, *_BY):
        raise InputError(f"{by!r} is none of {', '.join(_BY)}", where="--by")
    file = settings.serve.groups_file
    if by == "file" and not file:
        raise InputError("no file of groups is set", where="[serve] groups_file", hint="set it, or give --groups-file")
    return read_groups(Path(file)) if file and by != "type" else None


def _tell(made: "Plan", now: datetime) -> None:
    """Until when it stands, and for which servers there is no advice, on stderr."""
    if made.expires_at and now <= made.expires_at:
        print(
            f"from the forecasts of {made.issued_hour:%Y-%m-%d %H:%M}Z; stands until a newer hour is issued, and until "
            f"{made.expires_at:%Y-%m-%d %H:%M}Z at most",
            file=sys.stderr,
        )
    for reason, servers in made.left_out.group_by("reason", maintain_order=True):
        names = servers["server_ip"].to_list()
        such = ", ".join(names[:3]) + (" .." if len(names) > 3 else "")
        print(f"no advice on {len(names)} servers ({such}): {reason[0]}", file=sys.stderr)
