"""``everloop sandbox``: what it lists, refuses and reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

from everloop.cli.app import app
from everloop.contracts.documents import write
from everloop.sandbox.loading import shipped
from tests.unit.sandbox.test_growing import report

ROOT = Path(__file__).parents[3]


def ran(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["sandbox", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_scenarios_are_listed_with_the_products_own(tmp_path: Path) -> None:
    everything = json.loads(ran("scenarios", "--loop", "companion", "--json"))
    assert [each["id"] for each in everything] == [each.id for each in shipped()]
    safety = json.loads(ran("scenarios", "--loop", "companion", "--suite", "safety", "--json"))
    assert {each["suite"] for each in safety} == {"safety"}


def test_people_rate_a_page_and_their_answers_are_read_back(tmp_path: Path) -> None:
    write(report([(f"mine {n}", f"theirs {n}") for n in range(30)]), tmp_path / "report.json")
    page, key = tmp_path / "page.html", tmp_path / "key.json"
    told = ran(
        "rate",
        tmp_path / "report.json",
        "--loop",
        "companion",
        "--page",
        page,
        "--key",
        key,
        "--count",
        "10",
    )
    assert "10 pairs to rate" in told
    sides = json.loads(key.read_text())
    assert key.stat().st_mode & 0o777 == 0o600
    assert sides["page"] in page.read_text()
    for name in ("Ada", "Bo"):
        given = {"page": sides["page"], "rater": name, "answers": sides["candidate_on"]}
        (tmp_path / f"{name}.json").write_text(json.dumps(given))
    found = json.loads(ran("ratings", key, tmp_path / "Ada.json", tmp_path / "Bo.json", "--json"))
    assert (found["candidate"], found["active"], found["raters"]) == (10, 0, ["Ada", "Bo"])
    assert found["low"] == pytest.approx(0.6915, abs=1e-4), "10 of 10: .025 ** (1 / 10)"


def test_the_clusters_job_runs_a_command_that_there_is() -> None:
    """Every option of the example's command exists, and takes the value that it is given."""
    text = (ROOT / "infra" / "kubernetes" / "examples" / "sandbox-runner.yaml").read_text()
    (job,) = [each for each in YAML(typ="safe").load_all(text) if each["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command: Any = typer.main.get_command(app)
    program, *names = container["command"]
    assert program == "everloop"
    for name in names:
        command = command.commands[name]
    found = command.make_context("run", list(container["args"])).params
    assert found["loop"] == "companion"
    assert found["fail_on_no_go"] is True
    assert str(found["adapter"]) == "/candidate/adapter"
