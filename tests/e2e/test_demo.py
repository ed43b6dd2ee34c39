"""The demo, run as a newcomer runs it."""

import subprocess
from pathlib import Path

from commands import one, ran


def test_the_demo_runs_from_nothing_to_outcomes(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    told = ran("demo", "--home", home, "--servers", 4, "--days", 7, "--speed", 28800)
    for part in ("Forecasts of the coming hours", "How right", "What was refused", "Try next"):
        assert part in told
    assert one(home, "select count(*) > 0 from forecast_outcomes") is True
    assert "no broker is running" in ran("broker", "status", "--home", home, exit_code=1)
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True)
    assert left.stdout == ""
