"""The REST service under load: `POST /score` for one server and for a fleet, and many callers at once.

`python -m bench.serve [SECONDS]`: a real `serverload serve` on a free port, a forest of 100 full trees of depth 8 drawn
at random, histories of 38 days with all eight measures.
"""

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from serverload.contracts.feature_columns import FEATURES, NULLABLE_FEATURES, PEAKS
from serverload.contracts.instants import hour_start
from serverload.model.decision import Decision
from serverload.model.flat_files import save_flat
from serverload.model.flat_forest import FlatForest
from serverload.model.flat_inputs import FlatInputs
from serverload.model.flat_trees import FlatTrees
from serverload.steps.features import lookback_hours
from serverload.store.registered_models import CHAMPION
from serverload.store.tracking import Tracking

TREES, DEPTH = 100, 8
FLEET, HORIZONS = 390, list(range(1, 49))
WORKERS, CALLERS = 2, 4
_NAME = "serverload-forecast"
_FIRST_HOUR = 406_000
_CATEGORIES = {"month": 12, "hour_of_day": 24, "iso_day_of_week": 7}


def drawn_forest(random: np.random.Generator) -> FlatForest:
    """Full trees that ask for any input at any load."""
    loads = tuple(column.name for column in NULLABLE_FEATURES)
    numbers = tuple(each.name for each in FEATURES if not each.nullable and each.name not in _CATEGORIES)
    labels = {name: tuple(str(label) for label in range(count)) for name, count in _CATEGORIES.items()}
    inputs = FlatInputs(loads, np.full(len(loads), 100.0), numbers, labels)
    size = 2 ** (DEPTH + 1) - 1
    nodes = np.arange(TREES * size)
    within = nodes % size
    inner = within < size // 2
    below = np.where(inner, nodes + within + 1, nodes), np.where(inner, nodes + within + 2, nodes)
    trees = FlatTrees(
        roots=np.arange(TREES) * size,
        inputs=random.integers(0, len(inputs.owners), nodes.size),
        thresholds=np.where(inner, random.lognormal(0, 1, nodes.size), np.inf),
        children=np.stack(below, axis=1),
        shares=random.dirichlet([1, 1, 1], nodes.size),
        depth=DEPTH,
    )
    return FlatForest(inputs, trees, Decision(thresholds={"": (0.3, 0.3, 0.3)}))


def register(home: Path, forest: FlatForest) -> None:
    """Make a forest the champion of a new registry."""
    tracking = Tracking("", str(home))
    run_id = tracking.client().create_run(tracking.experiment_id()).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        save_flat(forest, Path(folder))
        tracking.client().log_artifacts(run_id, folder, "forest/flat")
    tags = {"decision": forest.decision.text(), "feature_set": "full"}
    tracking.client().create_registered_model(_NAME)
    version = tracking.client().create_model_version(_NAME, f"runs:/{run_id}/forest", run_id, tags=tags).version
    tracking.client().set_registered_model_alias(_NAME, CHAMPION, version)


def body(servers: int, random: np.random.Generator, measures: tuple[str, ...] = PEAKS) -> bytes:
    """A request for some servers' next 48 hours; one hour in fifty is without sessions."""
    first = f"{hour_start(_FIRST_HOUR):%Y-%m-%dT%H:%M:%SZ}"
    hours = lookback_hours(max(HORIZONS), 168) + 1
    histories = []
    for number in range(servers):
        loads = np.round(random.lognormal(4, 1, (len(measures), hours)), 3)
        silent = random.random(hours) < 0.02
        rows = ([None if none else load for load, none in zip(row, silent, strict=True)] for row in loads.tolist())
        told = dict(zip(measures, rows, strict=True))
        histories.append({"server": f"10.0.{number // 256}.{number % 256}", "first_hour": first, **told})
    return json.dumps({"servers": histories, "horizons": HORIZONS}).encode()


@contextmanager
def service(home: Path, workers: int) -> Iterator[tuple[int, int]]:
    """A service with a model loaded; its port and process id."""
    log = home / "serve.log"
    command = [
        sys.executable,
        "-m",
        "serverload",
        "serve",
        "--home",
        str(home),
        "--port",
        "0",
        "--workers",
        str(workers),
    ]
    environment = os.environ | {"SERVERLOAD_SERVE__REQUESTS_PER_MINUTE": "0"}
    with log.open("w") as out, subprocess.Popen(command, stderr=out, env=environment) as process:
        try:
            while not (told := re.search(r"http://127.0.0.1:(\d+)", log.read_text())):
                time.sleep(0.1)
            port = int(told[1])
            while b'"answering":{' not in get(port, "/models"):
                time.sleep(0.2)
            yield port, process.pid
        finally:
            process.terminate()


def get(port: int, path: str) -> bytes:
    """One answer, whatever its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().read()


class Caller:
    """Scores over one connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def score(self, content: bytes) -> tuple[int, float]:
        """Status and seconds of one request."""
        began = time.perf_counter()
        self._connection.request("POST", "/score", content, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - began


def timed(port: int, content: bytes, times: int) -> list[float]:
    """Seconds of each request, after some that warm up."""
    caller = Caller(port)
    for _ in range(max(3, times // 10)):
        caller.score(content)
    made = [caller.score(content) for _ in range(times)]
    assert {status for status, _ in made} == {200}
    return sorted(seconds for _, seconds in made)


def sustained(port: int, pid: int, content: bytes, seconds: float) -> str:
    """Several callers at once: requests a second, other statuses than 200, and the workers' memory on the way."""
    until, counted = time.monotonic() + seconds, list[int]()

    def call() -> None:
        caller = Caller(port)
        while time.monotonic() < until:
            counted.append(caller.score(content)[0])

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in callers:
        thread.start()
    time.sleep(seconds / 4)
    early = memory(pid)
    for thread in callers:
        thread.join()
    wrong = len(counted) - counted.count(200)
    told = f"{len(counted) / seconds:.0f} requests/s, {wrong} failed"
    return f"{told}; workers {early} MB at a quarter, {memory(pid)} MB at the end"


def memory(pid: int) -> list[int]:
    """Megabytes of each worker."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    told = [re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{child}/status").read_text()) for child in children]
    return [int(each[1]) // 1024 for each in told if each and int(each[1]) > 50_000]


def main() -> None:
    """Print a line per measurement."""
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder:
        home = Path(folder)
        register(home, drawn_forest(random))
        one, fleet = body(1, random), body(FLEET, random)
        loads_alone = body(FLEET, random, PEAKS[:1])
        with service(home, 1) as (port, _pid):
            seconds = timed(port, one, 500)
            p50, p99 = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
            print(f"1 server x 48 h: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms ({len(one) / 1e3:.0f} kB)")
            for name, content in (("all measures", fleet), ("load alone", loads_alone)):
                median = statistics.median(timed(port, content, 5))
                print(f"{FLEET} servers x 48 h, {name}: {median:.2f} s ({len(content) / 1e6:.1f} MB)")
        with service(home, WORKERS) as (port, pid):
            told = sustained(port, pid, one, float(sys.argv[1]) if sys.argv[1:] else 20.0)
            print(f"{CALLERS} callers, {WORKERS} workers, 1 server x 48 h: {told}")


if __name__ == "__main__":
    main()
