"""What a command says when Spark's Java process does not come up."""

from collections.abc import Callable
from pathlib import Path

from command_line import Ran

LINE = "2016-02-27 10:00:00,,1,5,1,1,3,1,1,1,1,1,1,70.5,10.9.9.9,10.8.8.8\n"


def test_a_java_process_that_does_not_start_is_told_in_one_line(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text(LINE)

    ran = run("backfill", "day.csv", "--home", "home", SERVERLOAD_SPARK__DRIVER_MEMORY="4x")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[1:] == [
        "serverload: Spark's Java process ended while starting: Invalid maximum heap size: -Xmx4x; "
        f"see {tmp_path}/home/logs/spark.log and [spark] driver_memory"
    ]
