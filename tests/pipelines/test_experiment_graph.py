"""The experiment's graph: the daily graph's own steps and two more, none of which pays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from everloop.reporting.evidence import EXPERIMENT, GRAPHS
from pipelines import daily_learning
from pipelines.compile import compile_graph
from pipelines.experiment import NAME, STAGES
from pipelines.local_run import stage_of
from tests.pipelines.test_compiled import tasks

PAYING = {"fit_user_model", "generate_profiles", "check_synthetic"}
"""Steps that may take budget from the ledger."""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = compile_graph(NAME, tmp_path_factory.mktemp("compiled") / "graph.yaml")
    found: dict[str, Any] = next(iter(YAML(typ="safe").load_all(path.read_text())))
    return found


def test_it_has_its_stages_and_every_branch_ends_in_the_report(document: dict[str, Any]) -> None:
    names = tasks(document, document["root"]["dag"])
    assert {stage_of(name) for name in names} == set(STAGES)
    assert sum(stage_of(name) == "report" for name in names) == 2


def test_no_step_of_it_pays_and_all_but_two_are_the_daily_graphs(document: dict[str, Any]) -> None:
    assert not set(STAGES) & PAYING
    assert set(STAGES) - set(daily_learning.STAGES) == {"load_releases", "sweep_policies"}
    assert [stage for stage in daily_learning.STAGES if stage in STAGES] == [
        stage for stage in STAGES if stage in daily_learning.STAGES
    ]


def test_the_gate_judges_the_policy_that_is_registered(document: dict[str, Any]) -> None:
    (inner,) = (
        component["dag"]["tasks"]
        for component in document["components"].values()
        if "dag" in component and "gate" in component["dag"]["tasks"]
    )

    def wire(task: str, name: str) -> Any:
        return inner[task]["inputs"]["artifacts"][name]["taskOutputArtifact"]

    assert wire("gate", "policy") == wire("register", "policy")
    assert wire("gate", "policy")["producerTask"] == "evaluate-policy"
    assert wire("evaluate-policy", "policy")["producerTask"] == "sweep-policies"
    assert wire("register", "verdict")["producerTask"] == "gate"
    assert wire("start-rollout", "verdict")["producerTask"] == "gate"
    assert wire("register", "sweep")["producerTask"] == "sweep-policies"


def test_the_form_explains_itself(document: dict[str, Any]) -> None:
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert [name for name, value in parameters.items() if not value.get("description")] == []
    defaults = {name: value.get("defaultValue") for name, value in parameters.items()}
    assert defaults["trials"] == 8
    assert defaults["scheduler"] == "asha"
    assert "training.learning_rate=loguniform" in defaults["space"]
    kinds = {name: parameters[name]["parameterType"] for name in ("trials", "seed", "cpus")}
    assert set(kinds.values()) == {"NUMBER_INTEGER"}


def test_the_report_knows_its_stages() -> None:
    assert (*GRAPHS[EXPERIMENT], "report") == STAGES
    assert NAME == EXPERIMENT


def test_no_name_of_a_file_stands_in_it(document: dict[str, Any]) -> None:
    assert str(Path.cwd()) not in str(document)
