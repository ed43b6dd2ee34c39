"""Commands of the live path: broker, replay, stream."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from serverload.cli.console import progress
from serverload.cli.options import CONFIG, Config, Home, open_registry, open_tables, settings_of
from serverload.cli.topic import bootstrap_of, require_topic
from serverload.contracts.errors import InputError
from serverload.contracts.homes import is_local

broker_app = typer.Typer(help="The embedded Apache Kafka broker of a home.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(broker_app, name="broker")
    app.command()(replay)
    app.command()(stream)


@broker_app.command("start")
def broker_start(
    config: Config = CONFIG,
    home: Home = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = None,
) -> None:
    """Start the broker in the background; it stays up until `broker stop`."""
    from serverload.store.broker import EmbeddedBroker

    settings = settings_of(config, home, broker={"port": port})
    with progress() as bar:
        bar.step("start the broker")
        info = EmbeddedBroker().start(settings.home, settings.broker.port)
    print(f"broker at {info.bootstrap}, log {info.log}")


@broker_app.command("stop")
def broker_stop(config: Config = CONFIG, home: Home = None) -> None:
    """Stop the broker; its data stays."""
    from serverload.store.broker import EmbeddedBroker

    stopped = EmbeddedBroker().stop(settings_of(config, home).home)
    print("broker stopped" if stopped else "no broker was running")


@broker_app.command("status")
def broker_status(config: Config = CONFIG, home: Home = None) -> None:
    """Tell whether the broker runs, where, and what it holds; exit 1 if it does not run."""
    from serverload.store.broker import EmbeddedBroker
    from serverload.store.kafka_login import client_options

    settings = settings_of(config, home)
    status = EmbeddedBroker(client=client_options(settings.kafka)).status(settings.home)
    if not status.running:
        print("no broker is running")
        raise typer.Exit(1)
    print(f"broker at {status.bootstrap}, pid {status.pid}, topics {status.topics}, {status.data_bytes:,} bytes")


def replay(
    paths: Annotated[list[str], typer.Argument(help="Folders, globs or files (.csv, .gz).")],
    config: Config = CONFIG,
    home: Home = None,
    speed: Annotated[float | None, typer.Option("--speed", help="Seconds of event time per second.")] = None,
    max_speed: Annotated[bool, typer.Option("--max", help="As fast as it goes.")] = False,
    late: Annotated[float, typer.Option("--late", help="Share of lines held back.")] = 0.0,
    shuffle: Annotated[float, typer.Option("--shuffle", help="Share of lines put out of order.")] = 0.0,
    duplicates: Annotated[float, typer.Option("--duplicates", help="Share of lines sent twice.")] = 0.0,
    corrupt: Annotated[float, typer.Option("--corrupt", help="Share of lines damaged.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed")] = 42,
    again: Annotated[bool, typer.Option("--again", help="Send everything anew.")] = False,
    to: Annotated[str, typer.Option("--to", help="kafka or eventhubs; else eventhubs if [eventhubs] is set.")] = "",
    fast: Annotated[bool, typer.Option("--fast", help="Send by confluent-kafka (extra `fast`).")] = False,
    partitions: Annotated[int, typer.Option("--partitions", min=1, help="Of a topic that is made now.")] = 4,
) -> None:
    """Send CSV files as live messages, each line once, at a speed (default 3600: an hour a second)."""
    from producers.faults import FaultRates
    from producers.pace import WallClock
    from producers.replay import ReplayOptions
    from producers.replay import replay as replay_lines
    from serverload.cli.sending import opened_sender

    if max_speed and speed is not None:
        raise InputError("--speed and --max exclude each other", where="replay")
    if speed is not None and speed <= 0:
        raise InputError(f"expected more than 0, got {speed:g}", where="--speed", hint="--max sends as fast as it goes")
    settings = settings_of(config, home)
    stop = stop_event()
    faults = FaultRates(late=late, shuffle=shuffle, duplicates=duplicates, corrupt=corrupt, seed=seed)
    options = ReplayOptions(None if max_speed else speed or 3600.0, faults, again)
    positions = Path(settings.home if is_local(settings.home) else ".serverload") / "replay"
    with progress() as bar:
        sender = opened_sender(settings, to, fast=fast, partitions=partitions)
        try:
            done = replay_lines(
                paths, sender, options, WallClock(stop), positions=positions, progress=bar, stopping=stop.is_set
            )
        finally:
            sender.close()
    state = "all sent" if done.finished else "stopped; the same command goes on from here"
    print(f"{done.sent:,} messages sent to {settings.stream.topic}, {done.sent_before:,} before; {state}")


def stream(
    config: Config = CONFIG,
    home: Home = None,
    available_now: Annotated[bool, typer.Option("--available-now", help="Read what is there, then stop.")] = False,
) -> None:
    """Read live sessions, keep the tables and issue forecasts, until stopped."""
    from serverload.store.locks import require_free
    from streaming.stream import Stream

    settings = settings_of(config, home)
    bootstrap = bootstrap_of(settings)
    require_free(settings.home, "stream")
    with progress() as bar:
        require_topic(bootstrap, settings)
        tables = open_tables(settings, "stream", bar)
        stop = stop_event()  # after Spark is up, which takes Ctrl-C for itself
        done = Stream(tables, settings, open_registry(settings), bar).run(
            bootstrap, available_now=available_now, stop=stop
        )
    counts = done.counts
    print(
        f"{done.batches} batches: {counts.read:,} lines read = {counts.accepted:,} accepted + "
        f"{counts.rejected:,} rejected + {counts.skipped:,} skipped"
    )
    if done.lost_offsets:
        print(f"LOST: {done.lost_offsets:,} messages, deleted by the topic's retention before they were read")
    if done.advanced.waits_for_model:
        print("forecasts wait for a model: run `serverload train`")


def stop_event() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set, so that work stops at a clean place."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
