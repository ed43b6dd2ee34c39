"""The `serverload` command: the one place that knows every app. Commands import what they need when they run."""

import logging
import os
import signal
import sys
from types import FrameType
from typing import Any

import typer

from serverload.cli import ask, daily, demo, jobs, live, models, plan, quality, serve, training, upkeep, verify, watch
from serverload.cli.failures import line_of
from serverload.cli.log_lines import OurWords, tell
from serverload.cli.spark_log import debugging

_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

app = typer.Typer(
    name="serverload",
    help="Live workload forecasting for fleets of servers: low, medium or high for each of the next 48 hours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (demo, jobs, training, quality, models, watch, live, daily, serve, plan, upkeep, verify, ask):
    part.add_to(app)


def main() -> None:
    """Run a command: exit 0 ok, 1 a handled failure, 2 usage, each told in one line; 130 after Ctrl-C, 143 on SIGTERM.

    `--debug` anywhere, or SERVERLOAD_DEBUG=1, shows the stack and lets Spark speak on stderr.
    """
    if "--debug" in sys.argv:
        sys.argv.remove("--debug")
        os.environ["SERVERLOAD_DEBUG"] = "1"
    if not debugging():
        _log_our_words_alone()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = app(standalone_mode=False)
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:
        if debugging() and not hasattr(error, "format_message"):
            raise
        code = _told(error)
    if code in (_INTERRUPTED, _TERMINATED):
        tell("INFO", "stopped")
    raise SystemExit(code)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does: the run is recorded, locks are given back."""
    raise SystemExit(_TERMINATED)


def _log_our_words_alone() -> None:
    """Keep to itself what libraries log, stack traces among it, as py4j does of each failed batch."""
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("serverload", "streaming"):
        logging.getLogger(name).addHandler(OurWords())


def _told(error: Exception) -> int:
    """Tell a failure on stderr and return its exit code."""
    usage = getattr(error, "format_message", None)
    if usage is None:
        tell("ERROR", line_of(error))
        return 1
    # wrong options: whichever library parses them, this is the shape of its errors
    if message := usage().strip():  # none where the help itself has been printed
        print(_usage_line(message, getattr(error, "ctx", None)), file=sys.stderr, flush=True)
    return int(getattr(error, "exit_code", 2))


def _usage_line(message: str, context: Any) -> str:
    """One line with the way to the help; a page of help stays as it is."""
    if "\n" in message:
        return message
    command = getattr(context, "command_path", "serverload")
    return f"{command}: {message.rstrip('.')}; see `{command} --help`"
