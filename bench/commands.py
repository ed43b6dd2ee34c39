"""How long a user waits: for a command to start, and for forecasts, with a home of a fleet.

`python -m bench.commands [SERVERS]`: commands in processes of their own; Spark's start beside a bare Spark session;
reading forecasts in one process that has started.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from bench.measuring import keep, seconds
from bench.plan import FIRST_ORIGIN, true_home
from serverload.contracts.settings import load_settings
from serverload.store.table_reader import forecasts

RUNS, HOURS = 5, 48
BARE_SPARK = "from pyspark.sql import SparkSession; SparkSession.builder.master('local[2]').getOrCreate().stop()"
OURS_SPARK = (
    "from serverload.store.session import spark_session; from serverload.store.jars import spark_jars;"
    " spark_session('bench', master='local[2]', jars=spark_jars(), driver_memory='1g').stop()"
)


def median_seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median of some runs, after one that is dropped."""
    return statistics.median([seconds(work) for _ in range(runs + 1)][1:])


def process(*arguments: str) -> Callable[[], object]:
    """A Python process to wait for."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def main() -> None:
    """Print a row a wait; write bench/out/commands.json."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 390
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(flags={"home": folder})
        true_home(settings, servers, "medium", range(FIRST_ORIGIN, FIRST_ORIGIN + HOURS))
        server = forecasts(folder).column("server_ip")[0].as_py()
        command, home = ("-m", "serverload"), ("--home", folder)
        waits = {
            "python itself": median_seconds(process("-c", "pass")),
            "serverload --help": median_seconds(process(*command, "--help")),
            "serverload forecasts --server": median_seconds(process(*command, "forecasts", "--server", server, *home)),
            "serverload forecasts": median_seconds(process(*command, "forecasts", "--format", "csv", *home)),
            "serverload sql": median_seconds(process(*command, "sql", "select 1", *home)),
            "a bare Spark session": median_seconds(process("-c", BARE_SPARK), 3),
            "serverload's Spark session": median_seconds(process("-c", OURS_SPARK), 3),
            "one server's forecasts, once started": median_seconds(lambda: forecasts(folder, server=server)),
            "the fleet's forecasts, once started": median_seconds(lambda: forecasts(folder)),
        }
    print(f"{servers} servers, {HOURS} issued hours")
    for name, waited in waits.items():
        print(f"  {name:38} {waited:7.3f} s")
    keep("commands", waits)


if __name__ == "__main__":
    main()
