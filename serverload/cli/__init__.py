"""The `serverload` command: the one place that knows every app. Commands import what they need when they run."""

import os
import sys

import typer

from serverload.cli import ask, demo, jobs, live
from serverload.contracts.errors import ServerloadError

app = typer.Typer(
    name="serverload",
    help="Live workload forecasting for fleets of servers: low, medium or high for each of the next 48 hours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (demo, jobs, live, ask):
    part.add_to(app)


def main() -> None:
    """Run a command: exit 0 ok, 1 a handled failure told in one line, 2 usage. SERVERLOAD_DEBUG=1 shows the stack."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except ServerloadError as error:
        if debug:
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped")
    except Exception as error:
        if debug or os.environ.get("SERVERLOAD_DEBUG"):
            raise
        _fail(f"{type(error).__name__}: {_first_line(str(error))}; see the stack trace with --debug")


def _fail(line: str) -> None:
    print(f"serverload: {line}", file=sys.stderr)
    sys.stderr.flush()
    raise SystemExit(1)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")[:400]
