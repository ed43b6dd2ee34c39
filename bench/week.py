"""A week of live time, replayed fast: is every hour forecast, do memory and files stay as they are?

`python -m bench.week [SERVERS] [SPEED]`: a history and a model, then seven days of sessions, one each five minutes and
server, with 5 % late; `compact` after each day. All are commands in processes of their own, as in operation.
"""

import json
import signal
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from bench.backlog import java_memory
from bench.home import Home
from bench.measuring import keep
from bench.memory import worker_peaks
from producers.synthetic import generate_history

HISTORY_DAYS, LIVE_DAYS, START = 28, 7, date(2016, 2, 1)
SESSIONS_PER_HOUR = 12.0
SETTLE_SECONDS = 30
SETTINGS = {
    "SERVERLOAD_MODEL__MAX_TRAINING_ROWS": "200000",
    "SERVERLOAD_STREAM__FORECAST_INTERVAL_SECONDS": "5",
    # while `compact` takes the processors for half a minute, more hours pass here than in a night of operation
    "SERVERLOAD_FORECAST__CATCH_UP_HOURS": "24",
}


def live_week(home: Home, live: Path, speed: float) -> list[dict[str, object]]:
    """Replay the week; after each day, what the stream holds in memory and on disk, before and after `compact`."""
    stream = home.start("stream")
    time.sleep(SETTLE_SECONDS)
    replay = home.start("replay", str(live), "--speed", f"{speed:g}", "--late", "0.05")
    begun, days = time.monotonic(), []
    for day in range(1, LIVE_DAYS + 1):
        while time.monotonic() < begun + day * 86400 / speed and replay.poll() is None:
            time.sleep(0.5)
        assert stream.poll() is None, (home.folder / "stream.out").read_text()[-2000:]
        row: dict[str, object] = {"day": day, "java_bytes": java_memory(), "worker_bytes": max(worker_peaks())}
        row |= dict(zip(("files", "disk_bytes"), home.files(), strict=True))
        home.run("compact")
        row |= home.asked(
            "select (select count(distinct issued_hour) from forecasts)::int as issued_hours,"
            " (select count(*) from load_windows)::bigint as window_rows"
        )
        days.append(row)
        print(json.dumps(row), flush=True)
    assert replay.wait() == 0
    time.sleep(SETTLE_SECONDS)
    stream.send_signal(signal.SIGTERM)
    assert stream.wait() == 0
    home.run("stream", "--available-now")
    return days


def main() -> None:
    """Print a row a day, and which hours of the week were not issued; write bench/out/week.json."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 390
    speed = float(sys.argv[2]) if len(sys.argv) > 2 else 360.0
    with tempfile.TemporaryDirectory(prefix="bench-week-") as scratch:
        made = generate_history(
            Path(scratch, "sessions"), servers=servers, days=HISTORY_DAYS + LIVE_DAYS, start=START, seed=1,
            dirty=0.01, sessions_per_hour=SESSIONS_PER_HOUR,
        )  # fmt: skip
        live = Path(scratch, "live")
        live.mkdir()
        for file in list(made.files)[-LIVE_DAYS:]:
            file.rename(live / file.name)
        home = Home(Path(scratch, "home"), SETTINGS)
        home.run("backfill", str(Path(scratch, "sessions")))
        home.run("train")
        home.run("compact")  # of the history; beside the stream only what a day brings is to be put in order
        home.run("broker", "start", "--port", "0")
        try:
            days = live_week(home, live, speed)
        finally:
            home.stop()
            home.run("broker", "stop")
        end = home.asked(
            "select count(distinct issued_hour) as issued, date_diff('hour', min(issued_hour), max(issued_hour)) + 1"
            " as hours, count(*) filter (revision = 0) as forecasts, count(distinct server_ip) as servers,"
            " count(*) filter (revision > 0) as revised, (select count(*) from forecast_outcomes) as outcomes"
            " from forecasts"
        )
        home.run("verify", "--forecasts", "24")
    print(json.dumps(end))
    keep("week", {"days": days, "end": end})


if __name__ == "__main__":
    main()
