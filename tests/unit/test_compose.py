"""docker-compose.yml and Dockerfile: no engine runs here, so the file is held against the specification and our rules,
and what its services of ours would run is run as local processes, with their environment.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deploy_files import DEPLOY, ROOT, commands, documents, filled_in, parsed

import serverload
from serverload.contracts.setting_places import ENV_PREFIX, variable_of
from serverload.contracts.settings import leaves, load_settings
from serverload.store.jars import jars_root

COMPOSE = ROOT / "docker-compose.yml"
OTHER_VARIABLES = {"SERVERLOAD_JARS"}
"""Variables of ours that are no settings."""
WRITTEN_ELSEWHERE = {"serve"}
"""Commands that a service may name before they are there."""
NOTHING_TO_RUN_INSIDE = {"eventhubs"}
"""Images without a shell or a program that a health check could run; another service waits until they answer."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    (found,) = documents(COMPOSE)
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return compose["services"]


def of_ours(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services.items() if service["image"].startswith("serverload:")}


def has_an_end(service: dict[str, Any]) -> bool:
    return service["restart"] in ("no", "on-failure")


def test_it_is_as_the_specification_wants_it() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_services_that_are_promised_are_there(services: dict[str, dict[str, Any]]) -> None:
    profiles = {name: tuple(service.get("profiles", ())) for name, service in services.items()}
    always = {"kafka", "spark-master", "spark-worker", "mlflow", "stream", "producer", "serving"}
    assert always <= {name for name, of_service in profiles.items() if not of_service}
    assert {name for name, of_service in profiles.items() if "eventhubs" in of_service} >= {"eventhubs", "azurite"}
    assert {name for name, of_service in profiles.items() if "ops" in of_service} == {"prometheus", "grafana"}
    assert {name for name, of_service in profiles.items() if "ui" in of_service} == {"kafka-ui"}


def test_images_are_pinned_and_nobody_is_root(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        _image, _, tag = service["image"].rpartition(":")
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), name
        assert int(str(service["user"]).split(":")[0]) > 0, name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("privileged"), name
    assert {service["image"] for service in of_ours(services).values()} == {f"serverload:{serverload.__version__}"}


def test_who_waits_for_whom_waits_until_it_is_ready_or_done(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if not has_an_end(service) and name not in NOTHING_TO_RUN_INSIDE:
            assert service["healthcheck"]["test"][0] == "CMD", name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_started":  # it waits by itself
                assert service["restart"] == "on-failure", (name, other)
            else:
                done = how["condition"] == "service_completed_successfully"
                assert done == has_an_end(services[other]), (name, other)
                assert done or "healthcheck" in services[other], (name, other)


def test_only_this_machine_gets_in_and_every_volume_is_named(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in compose["volumes"], (name, volume)


def test_no_secret_is_in_the_files(compose: dict[str, Any]) -> None:
    telling = re.compile(r"(?i)password|secret|token|_key$|connection.?string")
    for name, service in compose["services"].items():
        for variable, entry in service.get("environment", {}).items():
            assert not telling.search(variable) or str(entry).startswith("/run/secrets/"), (name, variable)
    assert all(set(source) == {"environment"} for source in compose["secrets"].values())
    example = dict(re.findall(r"(?m)^(\w+)=(.*)$", (ROOT / ".env.example").read_text()))
    assert {entry for variable, entry in example.items() if telling.search(variable)} == {""}


def test_variables_of_the_file_are_those_of_the_example(compose: dict[str, Any]) -> None:
    wanted = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    wanted |= {source["environment"] for source in compose["secrets"].values()}
    assert set(re.findall(r"(?m)^(\w+)=", (ROOT / ".env.example").read_text())) == wanted
    assert "/.env\n" in (ROOT / ".gitignore").read_text()


def test_every_variable_of_ours_is_a_setting_and_all_of_a_service_fit_together(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {variable_of(name.split(".")) for name, _entry in leaves(load_settings())}
    for name, service in services.items():
        ours = {key: str(entry) for key, entry in service.get("environment", {}).items() if key.startswith(ENV_PREFIX)}
        assert set(ours) <= known, name
        with monkeypatch.context() as environment:
            for key, entry in ours.items():
                environment.setenv(key, entry)
            settings = load_settings()
        assert settings.stream.topic == "sessions", name
        assert (settings.metrics.port, settings.metrics.address) == (
            (9464, "0.0.0.0") if name == "stream" else (0, "127.0.0.1")
        )
    told = services["stream"]["environment"]
    assert json.loads(told["SERVERLOAD_SPARK__SETTINGS"])["spark.cores.max"] == "2"


def test_every_command_of_ours_is_one(services: dict[str, dict[str, Any]]) -> None:
    for name, service in of_ours(services).items():
        words = [filled_in(word) for word in service["command"]]
        assert words[0] != "spark-class" or not any("=" in word for word in words), name
        if words[0] == "serverload" and words[1] not in WRITTEN_ELSEWHERE - commands():
            assert parsed(words) == f"serverload {words[1]}", name


def run_locally(service: dict[str, Any], data: Path, **given: str) -> subprocess.Popen[str]:
    """Start what a service would run, with its environment; /data is a folder of ours."""
    words = [filled_in(word, given).replace("/data", str(data)) for word in service["command"]]
    told = {key: str(entry).replace("/data", str(data)) for key, entry in service.get("environment", {}).items()}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **told, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_sessions_are_made_once_and_the_newest_two_days_are_kept_back(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "sessions").mkdir()
    for _up in range(2):
        made = run_locally(services["sessions"], tmp_path, SESSION_SERVERS="2", SESSION_DAYS="4")
        told = made.communicate(timeout=120)[0]
        assert made.returncode == 0, told
    days = {
        part: sorted(file.name for file in (tmp_path / "sessions" / part).rglob("*.csv"))
        for part in ("history", "live")
    }
    assert days == {
        "history": ["2016-05-01.csv", "2016-05-02.csv"],
        "live": ["2016-05-03.csv", "2016-05-04.csv"],
    }
    assert told == ""


def test_the_image_is_made_of_pinned_parts_and_runs_as_nobody_in_particular() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    images = re.findall(r"(?m)^FROM (\S+)", dockerfile)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images[0])
    assert images[1:] == ["base", "base"]
    last = dockerfile.rpartition("\nFROM ")[2]
    assert re.findall(r"(?m)^USER (.+)", last) == ["10001:10001"]
    assert not re.search(r"(?mi)^(ADD|ARG) ", dockerfile)
    assert "--constraint constraints.txt" in dockerfile
    variables = set(re.findall(rf"{ENV_PREFIX}\w+", dockerfile)) - OTHER_VARIABLES
    assert variables <= {variable_of(name.split(".")) for name, _entry in leaves(load_settings())}
    (jars,) = set(re.findall(r"SERVERLOAD_JARS=(\S+)", dockerfile))
    assert str(jars_root({"SERVERLOAD_JARS": jars})) == jars


def test_the_image_gets_what_the_wheel_is_made_of_and_nothing_else() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (packages,) = re.findall(r"(?m)^packages = \[(.*)\]$", project.partition("[tool.hatch.build.targets.wheel]")[2])[:1]
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name.strip(' "') for name in packages.split(",")} <= let_in
    assert {"pyproject.toml", "constraints.txt", "README.md", "docs"} <= let_in
    assert let_in <= {path.name for path in ROOT.iterdir()} | {"serving"}


def test_the_event_hub_of_the_emulator_is_the_topic() -> None:
    (namespace,) = json.loads((DEPLOY / "eventhubs" / "Config.json").read_text())["UserConfig"]["NamespaceConfig"]
    assert [hub["Name"] for hub in namespace["Entities"]] == [load_settings().stream.topic]
