"""From the closing of an hour to its forecasts in Delta, on one machine.

`python -m bench.latency [HOURS] [HORIZONS]`: a fleet, a session each five minutes and server, an hour in 30 seconds.
An hour closes when Kafka has the sessions by which the watermark passes its end; its forecasts are there with the
commit. HORIZONS: as in the settings, such as 1,3,6,12,24,36,48.
"""

import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from bench.home import Home
from bench.measuring import keep
from producers.synthetic import generate_history
from serverload.advance.forecasts import ISSUED_NOTE
from serverload.contracts.instants import hour_start
from serverload.contracts.settings import load_settings
from serverload.steps.watermark import watermark
from serverload.store.broker import EmbeddedBroker

SERVERS, SESSIONS_PER_HOUR, HISTORY_DAYS, START = 390, 12.0, 28, date(2016, 2, 1)
SPEED, SETTLE_SECONDS = 120.0, 30.0
MODEL = {"SERVERLOAD_MODEL__MAX_TRAINING_ROWS": "100000"}


def closed(bootstrap: str | None, topic: str, hours: list[int], lateness: int) -> dict[int, float]:
    """When Kafka had the sessions that close each hour (numbers since 1970), in seconds since 1970."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=5000)
    places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(places)
    consumer.seek_to_beginning()
    arrived = sorted((message.timestamp / 1000, message.value) for message in consumer)
    consumer.close()
    newest, found = dict[str, datetime](), dict[int, float]()
    for at, value in arrived:
        fields = value.decode(errors="replace").split(",")
        try:
            event = datetime.fromisoformat(fields[0]).replace(tzinfo=UTC)
        except ValueError:
            continue
        server = fields[-1].strip()
        newest[server] = max(newest.get(server, event), event)
        waiting = next((hour for hour in hours if hour not in found), None)
        if waiting is not None and event >= hour_start(waiting + 1):
            reached = watermark(list(newest.values()), lateness)
            if reached and reached >= hour_start(waiting + 1):
                found[waiting] = at
    return found


def landed(home: Path, hours: list[int]) -> Mapping[int, float]:
    """When the forecasts of each hour were committed, in seconds since 1970."""
    found = dict[int, float]()
    for file in sorted((home / "tables/forecasts/_delta_log").glob("*.json")):
        actions: list[dict[str, dict[str, object]]] = [json.loads(line) for line in file.read_text().splitlines()]
        told = next((each["commitInfo"] for each in actions if "commitInfo" in each), {})
        note = json.loads(str(told.get("userMetadata", "{}")))
        for hour in hours:
            if hour not in found and note.get(ISSUED_NOTE, -1) >= hour:
                found[hour] = file.stat().st_mtime
    return found


def measured(scratch: Path, count: int, horizons: str) -> list[float]:
    """Seconds of each hour."""
    made = generate_history(
        scratch / "sessions", servers=SERVERS, days=HISTORY_DAYS + 1, start=START, seed=1, dirty=0.01,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )  # fmt: skip
    live = scratch / "live"
    live.mkdir()
    day = list(made.files)[-1]
    day.rename(live / day.name)
    home = Home(scratch / "home", {**MODEL, "SERVERLOAD_FORECAST__HORIZONS": horizons} if horizons else MODEL)
    home.run("backfill", str(scratch / "sessions"))
    home.run("train")
    home.run("broker", "start", "--port", "0")
    try:
        stream = home.start("stream")
        time.sleep(SETTLE_SECONDS)
        home.start("replay", str(live), "--speed", f"{SPEED:g}")
        time.sleep((count + 1) * 3600 / SPEED + SETTLE_SECONDS)
        stream.send_signal(signal.SIGTERM)
        stream.wait()
        settings = load_settings()
        first = (
            int((datetime(START.year, START.month, START.day, tzinfo=UTC) + timedelta(days=HISTORY_DAYS)).timestamp())
            // 3600
        )
        hours = list(range(first, first + count))
        bootstrap = EmbeddedBroker().status(home.folder).bootstrap
        ends = closed(bootstrap, settings.stream.topic, hours, settings.time.allowed_lateness_minutes)
        there = landed(home.folder, hours)
        return [there[hour] - ends[hour] for hour in hours if hour in there and hour in ends]
    finally:
        home.stop()
        home.run("broker", "stop")


def main() -> None:
    """Print the seconds of each hour, their median and the 95th of a hundred; write bench/out/latency.json."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    horizons = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory(prefix="bench-latency-") as scratch:
        took = measured(Path(scratch), count, horizons)
    late = statistics.quantiles(took, n=20, method="inclusive")[-1]
    each = ", ".join(f"{seconds:.1f}" for seconds in took)
    print(f"{SERVERS} servers, horizons {horizons or 'as set'}, {len(took)} of {count} hours issued")
    print(f"from closed to committed: median {statistics.median(took):.1f} s, p95 {late:.1f} s ({each})")
    keep("latency", {"horizons": horizons, "seconds": took})


if __name__ == "__main__":
    main()
