"""docker-compose.yml without an engine: services of ours as processes, from made-up sessions to an answer by REST."""

import json
import re
import shlex
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from compose_up import ROOT, Composed

from serverload.store.table_reader import run_sql

GIVEN = {"SESSION_SERVERS": "4", "SESSION_DAYS": "40", "REPLAY_SPEED": "20000"}


def documented(part: str) -> list[str]:
    """The words of the command of the guide that holds a part, after the name of the service."""
    (line,) = (line for line in (ROOT / "docs" / "guide.md").read_text().splitlines() if part in line)
    return shlex.split(re.sub(r"^docker compose \w+( --\S+)* \S+ ", "", line))


def test_from_sessions_to_an_answer(tmp_path: Path) -> None:
    print()
    with Composed(tmp_path, GIVEN) as compose:
        key = compose.run("serving", documented("serve key me")).strip()
        compose.up("producer")
        compose.up("serving")
        compose.wait("producer", "service_completed_successfully")
        compose.wait("serving", "service_healthy")

        facts = compose.run("stream", [*documented("exec stream"), "--format", "json"])
        status = {row["fact"]: row["value"] for row in json.loads(facts)}
        address = f"http://127.0.0.1:{compose.ports['serving']['8080']}/forecasts"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address)
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(asked) as answer:
            forecasts = json.load(answer)["forecasts"]
        assert compose.stop("stream") == [0]

    live = sum(1 for file in (tmp_path / "data/sessions/live").iterdir() for line in file.open("rb") if line.strip())
    assert status["live_lines_read"] == str(live)
    assert len({row["server_ip"] for row in forecasts}) >= 3
    assert {row["model_version"] for row in forecasts} == {"1"}
    home = str(tmp_path / "data" / "home")
    (log,) = run_sql(home, "select sum(read - accepted - rejected - skipped)::int as lost from ingest_log").to_pylist()
    assert log == {"lost": 0}
