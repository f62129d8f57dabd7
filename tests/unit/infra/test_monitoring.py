"""Alerts and the dashboard speak of metrics that the service really has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from everloop.contracts.feedback import TrustFigures
from everloop.serving.decisions.stats import DecisionCounts
from everloop.serving.metrics import RequestFigures, ServiceCollector
from everloop.serving.run_metrics import RunCollector

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "infra" / "monitoring"
RULES = MONITORING / "prometheus" / "everloop.rules.yaml"
BOARD = MONITORING / "grafana" / "everloop.json"
METRIC = re.compile(r"\beverloop_[a-z_]+")


def exposed() -> set[str]:
    """Names as Prometheus shows them, of the service's own collectors."""
    registry = CollectorRegistry()
    RequestFigures(registry)
    done = SimpleNamespace(commits=0, records=0, replayed=0, refused=0, failed=0, seconds=0.0)
    queue: Any = SimpleNamespace(figures=done, waiting=0, wal_bytes=0)
    watch = SimpleNamespace(tallies=SimpleNamespace(totals=dict), shadow=SimpleNamespace(waiting=0))
    decisions: Any = SimpleNamespace(
        watch=watch, states=tuple, counts=lambda: DecisionCounts({}, {}, {})
    )
    trust = TrustFigures(100, 4.0, 3.9, 4.1, 1000, 10, 0.01, 0.005, 0.02)
    feedback: Any = SimpleNamespace(trust=lambda _: trust)
    registry.register(ServiceCollector(queue, decisions, feedback))
    registry.register(RunCollector(cast("Any", SimpleNamespace(runs=lambda limit: ()))))
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    return {f"{family.name}{s}" for family in registry.collect() for s in suffixes[family.type]}


def rules() -> list[dict[str, Any]]:
    document = YAML(typ="safe").load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    board: dict[str, Any] = json.loads(BOARD.read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    drawn = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + drawn


def test_the_names_are_read_from_the_service() -> None:
    assert {
        "everloop_request_seconds_bucket",
        "everloop_ingest_failed_total",
        "everloop_decisions_total",
        "everloop_breaker_openings_total",
        "everloop_trust_high",
        "everloop_run_seconds",
    } <= exposed()


@pytest.mark.parametrize("expression", expressions())
def test_only_metrics_that_exist_are_asked_for(expression: str) -> None:
    asked = {
        name for name in METRIC.findall(expression) if name not in {"everloop_", "everloop_service"}
    }
    assert asked or "up{" in expression
    assert asked <= exposed()


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]


def test_every_panel_explains_itself_and_names_no_source() -> None:
    for panel in panels():
        assert panel["title"], panel["id"]
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${source}", panel["title"]
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(BOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("command", [("check", RULES.name), ("test", "everloop.rules.test.yaml")])
def test_prometheus_takes_the_rules(command: tuple[str, str]) -> None:
    verb, name = command
    done = subprocess.run(
        ["promtool", verb, "rules", name],
        cwd=RULES.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_labels_in_texts_are_labels_of_the_alert(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    kept = (
        set(re.findall(r"by \(([^)]*)\)", rule["expr"])[0].split(", "))
        if "by (" in rule["expr"]
        else set()
    )
    assert named <= kept | {"instance"}
