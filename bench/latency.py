"""From the closing of an hour to its forecasts in Delta: with the seven training horizons, and with all of them.

`python -m bench.latency [HOURS]`: a fleet of 390 servers, four sessions an hour each, an hour in a minute; so many
hours with each choice of horizons. An hour closes when Kafka has the sessions by which the watermark passes its end;
its forecasts are there with their commit. Much of its time goes into a home with a model.
"""

import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from bench.home import Home
from bench.measuring import keep
from producers.synthetic import generate_history
from serverload.advance.forecasts import ISSUED_NOTE
from serverload.contracts.instants import from_micros, hour_number
from serverload.contracts.settings import Settings, load_settings
from serverload.ingest import LIVE, line_rules
from serverload.steps.event_kernel.reference import Event, parse_line
from serverload.steps.watermark import newest_closed_hour, watermark
from serverload.store.broker import EmbeddedBroker

SERVERS, SESSIONS_PER_HOUR, HISTORY_DAYS, LIVE_DAYS, START = 390, 4.0, 21, 2, date(2016, 2, 1)
SPEED, SETTLE_SECONDS = 60.0, 90.0
HOURS = 10
MODEL = {"SERVERLOAD_MODEL__MAX_TRAINING_ROWS": "20000", "SERVERLOAD_MODEL__TEST_DAYS": "1"}
HORIZONS_VARIABLE = "SERVERLOAD_FORECAST__HORIZONS"


def closed(bootstrap: str, settings: Settings) -> dict[int, float]:
    """When Kafka had the sessions that close each hour (number since 1970), in seconds since 1970."""
    newest, found = dict[str, datetime](), dict[int, float]()
    for at, event in _accepted(bootstrap, settings):
        time = from_micros(event.time)
        newest[event.server_ip] = max(newest.get(event.server_ip, time), time)
        if hour_number(time) - 1 not in found:
            hour = newest_closed_hour(watermark(list(newest.values()), settings.time.allowed_lateness_minutes))
            if hour is not None:
                found.setdefault(hour, at)
    return found


def _accepted(bootstrap: str, settings: Settings) -> Iterator[tuple[float, Event]]:
    """Time of arrival and session of each line that is accepted, in the order in which they arrived."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=5000)
    topic = settings.stream.topic
    consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()])
    consumer.seek_to_beginning()
    rules = line_rules(settings.ingest, LIVE, datetime.now(UTC))
    for at, line in sorted((message.timestamp / 1000, message.value) for message in consumer):
        if isinstance(event := parse_line(line, rules), Event):
            yield at, event
    consumer.close()


def landed(home: Path) -> dict[int, float]:
    """When the forecasts of each hour, and of those before it, were committed, in seconds since 1970."""
    found = dict[int, float]()
    for file in sorted((home / "tables/forecasts/_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in file.read_text().splitlines()]
        told = next(action["commitInfo"] for action in actions if "commitInfo" in action)
        note = json.loads(told.get("userMetadata", "{}"))
        if ISSUED_NOTE in note:
            found.setdefault(int(note[ISSUED_NOTE]), file.stat().st_mtime)
    return found


def prepared(scratch: Path) -> Path:
    """A home with history, model and a running broker; the days to replay lie in `live` beside it."""
    made = generate_history(
        scratch / "sessions", servers=SERVERS, days=HISTORY_DAYS + LIVE_DAYS, start=START, seed=1, dirty=0.01,
        sessions_per_hour=SESSIONS_PER_HOUR,
    )  # fmt: skip
    live = scratch / "live"
    live.mkdir()
    for day in list(made.files)[-LIVE_DAYS:]:
        day.rename(live / day.name)
    home = Home(scratch / "home", MODEL)
    for command in (("backfill", str(scratch / "sessions")), ("train",), ("broker", "start", "--port", "0")):
        home.run(*command)
    return home.folder


def followed(folder: Path, horizons: str, hours: int) -> tuple[float, float]:
    """Run the stream for some hours of the replay; begin and end of the time in which it was at work."""
    home = Home(folder, {HORIZONS_VARIABLE: horizons} if horizons else {})
    stream = home.start("stream")
    try:
        time.sleep(SETTLE_SECONDS)
        begun = time.time()
        time.sleep(hours * 3600 / SPEED)
        ended = time.time()
        time.sleep(SETTLE_SECONDS)
        stream.send_signal(signal.SIGTERM)
        stream.wait()
    finally:
        home.stop()
    return begun, ended


def measured(scratch: Path, hours: int) -> dict[str, list[float]]:
    """Seconds from closed to committed of each hour that closed meanwhile, by horizons."""
    folder, settings = prepared(scratch), load_settings()
    replay = Home(folder, {})
    choices = {"seven": ",".join(map(str, settings.model.training_horizons)), f"{len(settings.forecast.horizons)}": ""}
    try:
        replay.start("replay", str(scratch / "live"), "--speed", f"{SPEED:g}")
        times = {name: followed(folder, horizons, hours) for name, horizons in choices.items()}
        replay.stop()  # the topic is read to an end that does not move
        bootstrap = str(EmbeddedBroker().status(folder).bootstrap)
        ends = closed(bootstrap, settings)
    finally:
        replay.stop()
        replay.run("broker", "stop")
    there = landed(folder)
    return {
        name: [
            min(at for issued, at in there.items() if issued >= hour) - end
            for hour, end in sorted(ends.items())
            if begun <= end <= ended
        ]
        for name, (begun, ended) in times.items()
    }


def main() -> None:
    """Print median and 95th of a hundred for each choice of horizons; write bench/out/latency.json."""
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else HOURS
    with tempfile.TemporaryDirectory(prefix="bench-latency-") as scratch:
        took = measured(Path(scratch), hours)
    print(f"From closed to committed: {SERVERS} servers, an hour in {3600 / SPEED:g} s\n")
    print("| horizons | hours | median s | p95 s | most s |\n| --- | --- | --- | --- | --- |")
    for name, seconds in took.items():
        late = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
        print(f"| {name} | {len(seconds)} | {statistics.median(seconds):.1f} | {late:.1f} | {max(seconds):.1f} |")
    keep("latency", took)


if __name__ == "__main__":
    main()
