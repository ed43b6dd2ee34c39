"""`serverload serve` as a user starts it: worker processes, a registry, models that come and go under load."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests
from flat_cases import FOREST, TREES
from registry_cases import NAME, register
from serve_cases import SETS, drawn_home

from serverload.contracts.settings import load_settings
from serverload.store.registered_models import ModelList
from serverload.store.tracking import Tracking
from serving.registry_watch import RegistryWatch
from serving.standing import left

OTHER = replace(FOREST, trees=replace(TREES, shares=TREES.shares[:, ::-1]))
CLASSES = load_settings().classes
BODY = {"servers": [{"server": "a", "first_hour": "2016-06-01T00:00", "peak_load": [40.0] * 200}], "horizons": [1]}
ENOUGH_SECONDS = 120.0


@dataclass
class Running:
    """A service under way, and what it has printed."""

    process: subprocess.Popen[bytes]
    log: Path
    home: Path
    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)

    def score(self) -> tuple[int, str]:
        answer = requests.post(f"{self.url}/score", json=BODY, timeout=ENOUGH_SECONDS)
        return answer.status_code, answer.json().get("model_version", "")

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + ENOUGH_SECONDS
        while not holds():
            assert time.monotonic() < end, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def children(self) -> set[int]:
        told = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(child) for child in told if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    drawn_home(home)
    register(home, FOREST, SETS)
    log = home / "serve.log"
    command = [sys.executable, "-m", "serverload", "serve", "--home", str(home), "--port", "0", "--workers", "2"]
    kept = {name: entry for name, entry in os.environ.items() if not name.startswith("SERVERLOAD_")}
    environment = kept | {"PYTHONPATH": str(Path(__file__).parents[2]), "SERVERLOAD_SERVE__POLL_SECONDS": "0.1"}
    with log.open("w") as out, subprocess.Popen(command, stderr=out, env=environment) as process:
        service = Running(process, log, home)
        try:
            service.until(lambda: "http://" in log.read_text())
            service.url = re.search(r"http://\S+", log.read_text())[0]  # type: ignore[index]
            service.until(lambda: service.score() == (200, "1"))
            yield service
        finally:
            process.terminate()


def trouble(running: Running) -> bool:
    return "serverload_model_trouble 1.0" in requests.get(f"{running.url}/metrics", timeout=ENOUGH_SECONDS).text


def test_a_model_swap_under_load_loses_no_request_and_a_broken_champion_is_not_taken(running: Running) -> None:
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            running.answers.append(running.score())

    callers = [threading.Thread(target=ask) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        register(running.home, OTHER, SETS)
        running.until(lambda: {version for _, version in running.answers[-8:]} == {"2"})
        broken = register(running.home, FOREST, SETS, champion=False)
        (damaged,) = [path for path in running.home.glob("mlartifacts/*/artifacts/*/flat/model.npz") if newest(path)]
        damaged.write_bytes(b"")
        promote(running.home, broken)
        running.until(lambda: trouble(running))
        seen = len(running.answers)
        running.until(lambda: len(running.answers) > seen + 8)
        promote(running.home, "1")
        running.until(lambda: not trouble(running) and running.score() == (200, "1"))
    finally:
        done.set()
        for caller in callers:
            caller.join()
    assert {status for status, _ in running.answers} == {200}
    assert {version for _, version in running.answers[seen : seen + 8]} == {"2"}
    assert f"champion {broken} cannot be used: " in running.log.read_text()


def newest(path: Path) -> bool:
    return path.stat().st_mtime == max(
        each.stat().st_mtime for each in path.parents[4].glob("*/artifacts/*/flat/model.npz")
    )


def promote(home: Path, version: str) -> None:
    Tracking("", str(home)).client().set_registered_model_alias(NAME, "champion", version)


def test_after_a_restart_the_version_that_issued_last_stands_in_for_a_broken_champion(
    running: Running, tmp_path: Path
) -> None:
    promote(running.home, "3")
    issued = [None, "3", "2"]
    watches = [
        RegistryWatch(ModelList("", NAME, str(running.home)), tmp_path, CLASSES, lambda each=each: each)
        for each in issued
    ]
    found = []
    for watch in watches:
        watch.look()
        found.append(left(tmp_path))
    promote(running.home, "1")
    watches[-1].look()

    assert [each.model and each.model.version for each in found] == [None, None, "2"]
    assert all(each.trouble.startswith("champion 3 cannot be used: serverload-forecast version 3: ") for each in found)
    assert (left(tmp_path).model.version, left(tmp_path).trouble) == ("1", "")
    assert [row["version"] for row in left(tmp_path).versions] == ["3", "2", "1"]


def test_a_champion_that_has_learned_other_classes_does_not_answer(running: Running, tmp_path: Path) -> None:
    promote(running.home, "1")
    tags = {"low_max": "50", "medium_max": f"{CLASSES.medium_max:g}"}
    for name, bound in tags.items():
        Tracking("", str(running.home)).client().set_model_version_tag(NAME, "1", name, bound)
    watch = RegistryWatch(ModelList("", NAME, str(running.home)), tmp_path, CLASSES, lambda: None)
    watch.look()
    assert left(tmp_path).model is None
    assert "it has learned other classes than [classes] has: low_max 50, not 100" in left(tmp_path).trouble
    Tracking("", str(running.home)).client().set_model_version_tag(NAME, "1", "low_max", "100")
    watch.look()
    assert (left(tmp_path).model.version, left(tmp_path).trouble) == ("1", "")


def test_a_registry_that_does_not_answer_is_told(tmp_path: Path) -> None:
    RegistryWatch(ModelList("http://127.0.0.1:9", NAME, str(tmp_path)), tmp_path, CLASSES, lambda: None).look()

    assert left(tmp_path).trouble.startswith("the registry does not answer: http://127.0.0.1:9: MLflow does not answer")


def test_a_worker_that_dies_is_replaced_and_what_was_counted_is_kept(running: Running) -> None:
    running.until(lambda: len(running.children()) == 2)
    before = running.children()

    def counted() -> float:
        text = requests.get(f"{running.url}/metrics", timeout=ENOUGH_SECONDS).text
        return sum(
            float(line.split()[-1]) for line in text.splitlines() if 'path="/healthz"' in line and "_total" in line
        )

    for _ in range(6):
        assert requests.get(f"{running.url}/healthz", timeout=ENOUGH_SECONDS).status_code == 200
    assert counted() == 6
    os.kill(min(before), signal.SIGKILL)
    running.until(lambda: len(running.children() - before) == 1 and len(running.children()) == 2)
    assert counted() == 6
    assert running.score() == (200, "1")


def test_workers_hold_neither_spark_nor_mlflow(running: Running) -> None:
    held = [Path(f"/proc/{child}/maps").read_text() for child in running.children()]
    assert len(held) == 2
    assert not any("libjvm" in maps for maps in held)
    code = "import sys, serving.app; print([m for m in ('pyspark', 'py4j', 'mlflow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_port_in_use_and_the_end_are_one_line_each(running: Running) -> None:
    port = running.url.rpartition(":")[2]
    command = [sys.executable, "-m", "serverload", "serve", "--home", str(running.home), "--port", port]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        f"serverload: 127.0.0.1 port {port}: cannot be listened on: Address already in use; "
        "choose another with --host and --port; --port 0 takes a free one\n"
    )
    running.process.terminate()
    assert running.process.wait(ENOUGH_SECONDS) == 0


def test_help_is_told_before_anything_is_imported() -> None:
    code = (
        "import sys, json\nfrom serverload.cli import app\n"
        "app(['serve', '--help'], standalone_mode=False)\n"
        "heavy = ('fastapi', 'polars', 'uvicorn', 'pyarrow', 'serverload.contracts.settings')\n"
        "print(json.dumps([m for m in heavy if m in sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert json.loads(ran.stdout.splitlines()[-1]) == []
    assert "--workers" in ran.stdout
