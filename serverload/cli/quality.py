"""The command that tells how good forecasts would have been: backtest."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverload.cli.console import progress
from serverload.cli.options import CONFIG, Config, Format, Home, open_registry, open_tables, settings_of
from serverload.cli.output import checked_format, show_plain
from serverload.contracts.errors import InputError, StoreError
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from batch.backtest import BacktestResult
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables
    from serverload.store.model_registry import ModelRegistry

VIEWS = ("horizon", "class", "group", "cutoff")
_GAINS = ("macro_f1", "rps")
_SHOWN = (
    *(
        "horizon_hours",
        "class",
        "server_group",
        "cutoff",
        "model",
        "hours",
        "rows",
        "came",
        "said",
        "precision",
        "recall",
    ),
    *("f1", "macro_f1", "accuracy", "kappa", "rps", "log_loss", "cost", "two_step_errors", "calibration_error"),
    *("covered", "set_size"),
    *("without_idle_macro_f1", "change_rps", "gap_closed"),
)
"""Columns of the table, of those that a view has; CSV and JSON have all."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)


def backtest(
    config: Config = CONFIG,
    home: Home = None,
    truth: Annotated[str | None, typer.Option("--truth", help="True probabilities, as `generate` writes them.")] = None,
    cutoffs: Annotated[int | None, typer.Option("--cutoffs", min=1, help="Cut-offs to test at.")] = None,
    step_days: Annotated[int | None, typer.Option("--step-days", min=1, help="Days tested after each.")] = None,
    by: Annotated[str, typer.Option("--by", help=f"{', '.join(VIEWS[:-1])} or {VIEWS[-1]}.")] = "horizon",
    format: Format = "table",
    out: Annotated[Path | None, typer.Option("--out", help="Write a .csv of these rows, or a .json of all.")] = None,
) -> None:
    """Fit at rolling cut-offs of the history and test on the days after each, beside naive forecasts."""
    settings = settings_of(config, home, backtest={"cutoffs": cutoffs, "step_days": step_days})
    checked_format(format)
    _check(by, truth, out)
    with progress() as bar:
        tables = open_tables(settings, "backtest", bar)
        result = run_backtest(settings, tables, open_registry(settings), bar, truth)
    _tell(result, to_stdout=format == "table")
    rows = result.report.rows(by)
    if out:
        _write(result, rows, out)
    show_plain([_short(row) for row in rows] if format == "table" else rows, format)


def run_backtest(
    settings: "Settings", tables: "DeltaTables", registry: "ModelRegistry", bar: Progress, truth: str | None
) -> "BacktestResult":
    """Bring the features up to date and test."""
    from batch.backtest import backtest as test_at_cutoffs
    from batch.features import update_features

    update_features(tables, settings, bar)
    return test_at_cutoffs(tables, settings, registry.tracking, bar, truth=truth)


def _check(by: str, truth: str | None, out: Path | None) -> None:
    """Tell what is wrong with the options before hours are spent."""
    if by not in VIEWS:
        raise InputError(f"{by!r} is none of {', '.join(VIEWS)}", where="--by")
    if truth and "://" not in truth and not Path(truth).exists():
        raise InputError("no such file", where=truth, hint="`serverload generate` leaves a truth.parquet")
    if out and out.suffix not in (".csv", ".json"):
        raise InputError(f"{out.name!r} ends in neither .csv nor .json", where="--out")
    if out and not out.absolute().parent.is_dir():
        raise InputError(f"no folder {out.absolute().parent}", where="--out")


def _tell(result: "BacktestResult", *, to_stdout: bool) -> None:
    """Print what was tested; rows for another program on stdout must stand alone there."""
    facts, to = result.facts, sys.stdout if to_stdout else sys.stderr
    print(
        f"{len(facts['cutoffs'])} cut-offs from {facts['cutoffs'][0]} to {facts['cutoffs'][-1]}, "
        f"{facts['step_days']} days each: {facts['tested_rows']:,} rows tested",
        file=to,
    )
    if facts["rows_not_in_truth"]:
        print(f"{facts['rows_not_in_truth']:,} rows are not tested: the truth does not know them", file=to)
    forest = next(row for row in result.report.horizons if (row["model"], row["horizon_hours"]) == ("forest", "all"))
    plain = facts["split_conformal"]
    print(
        f"prediction sets hold {forest['set_size']:.3f} classes and cover {forest['covered']:.3f}; "
        f"split conformal with one threshold: {plain['set_size']:.3f} and {plain['covered']:.3f}",
        file=to,
    )
    for row in result.report.worse_than_farther:
        print(
            f"accuracy at {row['horizon_hours']} h is {row['accuracy']:.4f}, "
            f"less than {row['farther_accuracy']:.4f} at {row['farther']} h",
            file=to,
        )
    if not result.report.worse_than_farther:
        print("no horizon is less accurate than a farther one", file=to)


def _write(result: "BacktestResult", rows: list[dict[str, Any]], out: Path) -> None:
    try:
        if out.suffix == ".json":
            result.report.save(out, result.facts)
            return
        with out.open("w", encoding="utf-8", newline="") as file:
            show_plain(rows, "csv", file)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(out)) from error


def _short(row: dict[str, Any]) -> dict[str, object]:
    """The columns of a row that a table has room for, with the forest's gain over each other model."""
    shown = {name: round(row[name], 4) if isinstance(row[name], float) else row[name] for name in _SHOWN if name in row}
    for name in _GAINS:
        if f"{name}_gain" in row:
            gain, low, high = (row[f"{name}_gain{end}"] for end in ("", "_low", "_high"))
            shown[f"{name}_gain"] = "" if gain is None else f"{gain:+.4f} ({low:+.4f} .. {high:+.4f})"
    return shown
