"""The senders: lines a second of about 130 bytes to a real broker, one a message, and how exact the pace is.

`python -m bench.producer [LINES]`: `replay --max` by kafka-python and by the fast client, one process, four partitions.
"""

import sys
import tempfile
import time
from contextlib import closing
from datetime import date, datetime
from itertools import islice
from pathlib import Path

from bench.measuring import keep
from producers.pace import WallClock
from producers.replay import ReplayOptions, replay
from producers.senders import ConfluentSender, KafkaSender
from producers.synthetic import generate_history
from producers.topics import ensure_topic
from serverload.store.broker import EmbeddedBroker

PARTITIONS, SPEED = 4, 3600.0
FAST, PLAIN = "confluent-kafka", "kafka-python"
SENDERS = {PLAIN: KafkaSender, FAST: ConfluentSender}


def sent(bootstrap: str, name: str, file: Path, scratch: Path, speed: float | None) -> tuple[int, float]:
    """Messages and seconds of one replay into a topic of its own."""
    topic = f"{name}-{speed or 'max'}"
    ensure_topic(bootstrap, topic, PARTITIONS)
    with closing(SENDERS[name](bootstrap, topic)) as sender:
        begun = time.perf_counter()
        done = replay([str(file)], sender, ReplayOptions(speed), WallClock(), positions=scratch / topic)
        return done.sent, time.perf_counter() - begun


def asked_seconds(file: Path) -> float:
    """How long the events of a file take at the speed."""
    times = [datetime.fromisoformat(line[:19].decode()) for line in file.open("rb")]
    return (max(times) - min(times)).total_seconds() / SPEED


def cut(files: list[Path], lines: int, to: Path) -> Path:
    """The first lines of the files as one file."""
    every = (line for file in files for line in file.open("rb"))
    to.write_bytes(b"".join(islice(every, lines)))
    return to


def main() -> None:
    """Print a row a sender, and the pace; write bench/out/producer.json."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    told: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        made = generate_history(
            scratch / "sessions", servers=390, days=2, start=date(2016, 1, 1), seed=1, sessions_per_hour=60.0
        )
        files = list(made.files)
        many, some = (cut(files, count, scratch / f"{count}.csv") for count in (lines, lines // 5))
        broker = EmbeddedBroker()
        bootstrap = broker.start(scratch, port=0).bootstrap
        try:
            for name, file in {PLAIN: some, FAST: many}.items():
                count, seconds = sent(bootstrap, name, file, scratch, None)
                told[name] = {"messages": count, "bytes": file.stat().st_size, "seconds": seconds}
                size = file.stat().st_size / count
                print(f"{name}: {count:,} messages of {size:.0f} bytes, {count / seconds:,.0f} a second")
            count, seconds = sent(bootstrap, FAST, some, scratch, SPEED)
            asked = asked_seconds(some)
        finally:
            broker.stop(scratch)
    told["pace"] = {"messages": count, "asked_seconds": asked, "seconds": seconds}
    print(f"paced at {SPEED:g}: {count:,} messages, due in {asked:.2f} s, took {seconds:.2f} s")
    keep("producer", told)


if __name__ == "__main__":
    main()
