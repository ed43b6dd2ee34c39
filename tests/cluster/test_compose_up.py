"""docker-compose.yml without an engine: services of ours as processes, from made-up sessions to an answer by REST."""

import json
import re
import shlex
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from compose_up import ENOUGH_SECONDS, Composed
from deploy_files import ROOT

from serverload.store.table_reader import run_sql

GIVEN = {"SESSION_SERVERS": "4", "SESSION_DAYS": "40", "REPLAY_SPEED": "20000"}


def documented(part: str) -> list[str]:
    """The words of the command of the guide that holds a part, after the name of the service."""
    (line,) = (line for line in (ROOT / "docs" / "guide.md").read_text().splitlines() if part in line)
    return shlex.split(re.sub(r"^docker compose \w+( --\S+)* \S+ ", "", line))


def lines_read(compose: Composed) -> str:
    """Of the topic, as the command of the guide tells it."""
    facts = json.loads(compose.run("stream", [*documented("exec stream"), "--format", "json"]))
    return {row["fact"]: row["value"] for row in facts}["live_lines_read"]


def test_from_sessions_to_an_answer(tmp_path: Path) -> None:
    print()
    with Composed(tmp_path, GIVEN) as compose:
        key = compose.run("serving", documented("serve key me")).strip()
        compose.up("producer")
        compose.up("serving")
        compose.wait("producer", "service_completed_successfully")
        compose.wait("serving", "service_healthy")

        files = (tmp_path / "data/sessions/live").iterdir()
        live = sum(1 for file in files for line in file.open("rb") if line.strip())
        deadline = time.monotonic() + ENOUGH_SECONDS
        while lines_read(compose) != str(live):
            assert time.monotonic() < deadline, compose.told("stream")
        address = f"http://127.0.0.1:{compose.ports['serving']['8080']}/forecasts"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address)
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(asked) as answer:
            forecasts = json.load(answer)["forecasts"]
        assert compose.stop("stream") == [0]

    assert len({row["server_ip"] for row in forecasts}) >= 3
    assert {row["model_version"] for row in forecasts} == {"1"}
    home = str(tmp_path / "data" / "home")
    (log,) = run_sql(home, "select sum(read - accepted - rejected - skipped)::int as lost from ingest_log").to_pylist()
    assert log == {"lost": 0}
