"""`serverload demo`: the whole line on one machine, from generated CSV to forecasts and how right they were."""

import shutil
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverload.cli.console import progress
from serverload.cli.jobs import run_backfill, tell_backfill
from serverload.cli.live import stop_event
from serverload.cli.options import CONFIG, Config, open_registry, open_tables, settings_of
from serverload.cli.output import show
from serverload.cli.topic import require_topic
from serverload.cli.training import run_train, tell_train
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Progress

if TYPE_CHECKING:
    from serverload.contracts.settings import Settings
    from serverload.store.delta_tables import DeltaTables

_MARK = ".serverload-demo"
_START = date(2016, 3, 1)
_LIVE_DAYS = 2
_STRIPS = """
    select server_ip, max(issued_hour) as issued_hour,
        string_agg(
            case workload_class when 'low' then 'l' when 'medium' then 'M' else 'H' end, '' order by horizon_hours
        ) as next_hours,
        count(*) filter (workload_class = 'high') as hours_high, max(probability_high) as highest_risk
    from (
        select * from forecasts where issued_hour = (select max(issued_hour) from forecasts)
        qualify row_number() over (partition by server_ip, horizon_hours order by revision desc) = 1
    ) group by server_ip order by hours_high desc, server_ip
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    config: Config = CONFIG,
    home: Annotated[str, typer.Option("--home", help="Made anew at each demo.")] = "demo-home",
    servers: Annotated[int, typer.Option("--servers", min=1)] = 30,
    days: Annotated[int, typer.Option("--days", min=1, help="Days of history; two live days follow.")] = 90,
    seed: Annotated[int, typer.Option("--seed")] = 42,
    speed: Annotated[float, typer.Option("--speed", help="Seconds of event time per second.")] = 3600.0,
) -> None:
    """Generate, backfill, train, replay live through Kafka, forecast, and show what came of it."""
    from serverload.store.broker import EmbeddedBroker
    from serverload.store.java import find_spark_java

    settings = settings_of(config, home, broker={"port": 0})
    find_spark_java()  # before minutes of generating
    _make_anew(Path(settings.home))
    with progress() as bar:
        history, live = _generated(Path(settings.home) / "sessions", servers, days, seed, bar)
        tables, registry = open_tables(settings, "demo", bar), open_registry(settings)
        tell_backfill(run_backfill(settings, tables, registry, [str(history)], bar, False))
        tell_train(run_train(settings, tables, registry, bar))
        broker = EmbeddedBroker()
        bar.step("start the broker")
        bootstrap = broker.start(Path(settings.home), 0).bootstrap
        try:
            _live(settings, tables, bootstrap, live, speed, bar)
        finally:
            broker.stop(Path(settings.home))
    _tell(settings, home)


def _make_anew(home: Path) -> None:
    """Empty the demo's home, once a broker that a killed demo left there has ended; no other folder is touched."""
    from serverload.store.broker import EmbeddedBroker

    if home.exists() and any(home.iterdir()):
        if not (home / _MARK).exists():
            raise InputError("is not empty and was not made by a demo", where=str(home), hint="choose another --home")
        EmbeddedBroker().stop(home)
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()


def _generated(folder: Path, servers: int, days: int, seed: int, bar: Progress) -> tuple[Path, Path]:
    """Folders of the history and of the live days that follow it."""
    from producers.synthetic import generate_history

    made = generate_history(
        folder / "history", servers=servers, days=days + _LIVE_DAYS, start=_START, seed=seed, dirty=0.01, progress=bar
    )
    live = folder / "live"
    live.mkdir()
    for file in made.files[-_LIVE_DAYS:]:
        file.rename(live / file.name)
    return folder / "history", live


def _live(settings: "Settings", tables: "DeltaTables", bootstrap: str, live: Path, speed: float, bar: Progress) -> None:
    """Replay the live days in a process of its own while the stream runs here; then drain what is left."""
    from streaming.stream import Stream

    require_topic(bootstrap, settings)
    command = [sys.executable, "-m", "serverload", "replay", str(live), "--home", settings.home, "--speed", str(speed)]
    stop, asked = threading.Event(), stop_event()
    log = Path(settings.home) / "replay.log"
    with log.open("wb") as output:
        producer = subprocess.Popen(command, stdout=output, stderr=output)
        threading.Thread(target=_stop_after, args=(producer, stop, asked), daemon=True).start()
        try:
            registry = open_registry(settings)
            Stream(tables, settings, registry, bar).run(bootstrap, available_now=False, stop=stop)
            if producer.wait() != 0:
                raise InputError("the producer failed", where=str(log))
            Stream(tables, settings, registry, bar).run(bootstrap, available_now=True, stop=asked)
        finally:
            producer.terminate()
            producer.wait()


def _stop_after(producer: "subprocess.Popen[bytes]", stop: threading.Event, asked: threading.Event) -> None:
    while producer.poll() is None and not asked.wait(0.5):
        pass
    stop.set()


def _tell(settings: "Settings", home: str) -> None:
    """Print the forecasts to come, how right the matured ones were, what was refused, and what to try next."""
    from serverload.store import status, table_reader

    place = settings.home
    classes = {"low_max": settings.classes.low_max, "medium_max": settings.classes.medium_max}
    print("\nForecasts of the coming hours (l low, M medium, H high; one letter an hour, from 1 h ahead)")
    show(table_reader.run_sql(place, _STRIPS), "table")
    print("\nHow right the matured forecasts were, beside the naive ones")
    show(status.outcome_summary(place, **classes), "table")
    print("\nWhat was refused, and why")
    show(status.reject_summary(place), "table")
    print("\nTry next:")
    for command in (
        f"forecasts --home {home}",
        f'sql --home {home} "select workload_class, count(*) from forecasts group by 1"',
        f"status --home {home}",
        f"runs --home {home}",
    ):
        print(f"  .venv/bin/serverload {command}")
