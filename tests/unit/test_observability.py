"""Alerts and dashboard: every metric that they name is one that is told, and each alert can be looked up."""

import json
import re
from collections.abc import Iterator

import promql_parser
import pytest
from deploy_files import DEPLOY, ROOT, documents

from serverload.contracts.metrics import METRICS
from serverload.contracts.tables import TROUBLE_EVENTS

OF_PROMETHEUS = {"up": {"job", "instance"}}
LABELS = OF_PROMETHEUS | {
    series: {*metric.labels, "le", "job", "instance"} for metric in METRICS.values() for series in metric.series
}
"""The labels of each series that may be asked for."""

ALERTS = [
    rule for page in documents(DEPLOY / "prometheus" / "alerts.yml") for g in page["groups"] for rule in g["rules"]
]
BOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "serverload.json").read_text())


def selectors(expression: str) -> Iterator[promql_parser.VectorSelector]:
    """The series that an expression asks for; an error where Prometheus would not read it."""
    found: list[promql_parser.VectorSelector] = []

    def visit(part: object) -> bool:
        if isinstance(part, promql_parser.VectorSelector):
            found.append(part)
        elif isinstance(part, promql_parser.MatrixSelector):
            found.append(part.vector_selector)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    yield from found


def check_asked(expression: str) -> None:
    asked = list(selectors(expression))
    assert asked, expression
    for selector in asked:
        assert selector.name in LABELS, expression
        assert {matcher.name for matcher in selector.matchers.matchers} <= LABELS[selector.name], expression
    by = re.findall(r"\b(?:by|on|unless on) ?\(([\w, ]*)\)", expression)
    grouped = {label.strip() for group in by for label in group.split(",") if label.strip()}
    assert grouped <= set.union(*(LABELS[selector.name] for selector in asked)), expression


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_told_and_stands_in_the_runbook(rule: dict) -> None:
    check_asked(rule["expr"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert told <= set.union(*(LABELS[selector.name] for selector in selectors(rule["expr"])))
    assert f"| `{rule['alert']}` |" in (ROOT / "docs" / "runbook.md").read_text()


def test_the_runbook_tells_of_no_alert_that_there_is_not() -> None:
    told = re.findall(r"\| `(Serverload\w+)` \|", (ROOT / "docs" / "runbook.md").read_text())
    assert sorted(told) == sorted(rule["alert"] for rule in ALERTS)


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_is_told(panel: dict) -> None:
    for target in panel["targets"]:
        check_asked(target["expr"])
        legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert legend <= set.union(*(LABELS[selector.name] for selector in selectors(target["expr"])))


def test_every_metric_is_looked_at_by_somebody() -> None:
    asked = [rule["expr"] for rule in ALERTS] + [t["expr"] for panel in BOARD["panels"] for t in panel["targets"]]
    names = {selector.name for expression in asked for selector in selectors(expression)}
    assert [metric.name for metric in METRICS.values() if not names & set(metric.series)] == []


def test_the_dashboard_can_be_provisioned() -> None:
    (sources,) = documents(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")
    (source,) = sources["datasources"]
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in BOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _y in cells) < 24


def test_prometheus_collects_from_what_compose_starts() -> None:
    (collected,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    (compose,) = documents(ROOT / "docker-compose.yml")
    targets = [each["static_configs"][0]["targets"][0] for each in collected["scrape_configs"]]
    assert {target.partition(":")[0] for target in targets} <= set(compose["services"])
    assert f"stream:{compose['services']['stream']['environment']['SERVERLOAD_METRICS__PORT']}" in targets
    jobs = {each["job_name"] for each in collected["scrape_configs"]}
    used = {job for rule in ALERTS for job in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert used == jobs
    assert collected["rule_files"] == ["alerts.yml"]


def test_the_runbook_tells_what_each_trouble_is() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    assert all(f"`{event.partition('_')[0]}_trouble`" in runbook for event in TROUBLE_EVENTS)
