"""The examples for cron, systemd, Airflow and Kubernetes: what they run is a command, what they set is a setting."""

import ast
import configparser
import re
import shlex

import kubernetes_validate
import pytest
from deploy_files import DEPLOY, commands, documents, parsed

import serverload
from serverload.contracts.setting_places import ENV_PREFIX, variable_of
from serverload.contracts.settings import leaves, load_settings

SETTINGS = {variable_of(name.split(".")) for name, _entry in leaves(load_settings())}
EXAMPLES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
KUBERNETES = "1.33"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_variable_of_ours_is_a_setting(path) -> None:
    assert set(re.findall(rf"{ENV_PREFIX}[A-Z_]+", path.read_text())) <= SETTINGS


def test_cron_runs_a_command_of_ours() -> None:
    (line,) = (line for line in (DEPLOY / "cron" / "serverload").read_text().splitlines() if line[:1].isdigit())
    *when, user, command = line.split(maxsplit=6)
    assert (len(when), user) == (5, "serverload")
    assert command.endswith(" >>/var/log/serverload/daily.log 2>&1")
    assert parsed(shlex.split(command.partition(" >>")[0])) == "/opt/serverload/bin/serverload daily"


@pytest.mark.parametrize("unit", ["daily", "stream"])
def test_systemd_runs_a_command_of_ours(unit: str) -> None:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(DEPLOY / "systemd" / f"serverload-{unit}.service")
    assert parsed(shlex.split(found["Service"]["ExecStart"])) == f"/opt/serverload/bin/serverload {unit}"
    assert found["Service"]["User"] == "serverload"
    assert found["Service"]["KillMode"] == "mixed"  # Java that ends at the same time cuts the last batch short


def test_the_timer_is_that_of_the_daily_service() -> None:
    assert (DEPLOY / "systemd" / "serverload-daily.timer").exists()
    assert "OnCalendar=*-*-* 02:10:00 UTC" in (DEPLOY / "systemd" / "serverload-daily.timer").read_text()


def test_airflow_runs_commands_of_ours() -> None:
    text = (DEPLOY / "airflow" / "serverload_daily.py").read_text()
    compile(text, "serverload_daily.py", "exec")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    operators = [call for call in calls if getattr(call.func, "id", "").endswith("Operator")]
    assert {call.func.id for call in operators} == {"BashOperator"}
    given = [keyword.value for call in operators for keyword in call.keywords if keyword.arg == "bash_command"]
    words = ["serverload" + part.value for node in given for part in node.values if isinstance(part, ast.Constant)]
    assert [parsed(shlex.split(command)) for command in words] == ["serverload daily", "serverload status"]


def test_kubernetes_takes_every_object() -> None:
    objects = documents(DEPLOY / "kubernetes" / "serving.yaml")
    for each in objects:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    by_kind = {each["kind"]: each for each in objects}
    assert set(by_kind) == {"ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler"}

    pods = by_kind["Deployment"]["spec"]["template"]
    (container,) = pods["spec"]["containers"]
    labels = pods["metadata"]["labels"]
    assert by_kind["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert by_kind["Service"]["spec"]["selector"].items() <= labels.items()
    assert (
        by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == by_kind["Deployment"]["metadata"]["name"]
    )
    assert by_kind["Service"]["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}

    assert container["image"] == f"serverload:{serverload.__version__}"
    assert pods["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert {"secretRef": {"name": "serverload"}} in container["envFrom"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pods["spec"]["volumes"]}
    if container["command"][1] in commands():
        parsed(container["command"])
    assert "Secret" not in by_kind  # by reference alone
