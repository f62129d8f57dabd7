"""The compiled graph: byte-identical, equal to the one on file, and shaped as the design says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from components._artifacts import EpisodeDataset
from everloop.contracts.errors import ShouldFixArgument
from pipelines import rollout_watch
from pipelines.compile import GRAPHS, compile_graph, graph
from pipelines.daily_learning import NAME, STAGES
from pipelines.local_run import stage_of

GOLDEN = Path(__file__).parent / "golden" / f"{NAME}.yaml"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_graph(NAME, tmp_path_factory.mktemp("compiled") / "graph.yaml")


@pytest.fixture(scope="module")
def document(compiled: Path) -> dict[str, Any]:
    pipeline: dict[str, Any] = next(iter(YAML(typ="safe").load_all(compiled.read_text())))
    return pipeline


def test_compiling_twice_gives_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    assert compile_graph(NAME, tmp_path / "again.yaml").read_bytes() == compiled.read_bytes()


def test_it_is_the_graph_on_file(compiled: Path) -> None:
    assert compiled.read_text() == GOLDEN.read_text(), "run `make golden` and look at the change"


@pytest.mark.parametrize("name", sorted(set(GRAPHS) - {NAME}))
def test_every_other_graph_is_the_one_on_file(name: str, tmp_path: Path) -> None:
    made = compile_graph(name, tmp_path / "graph.yaml").read_text()
    on_file = (GOLDEN.parent / f"{name}.yaml").read_text()
    assert made == on_file, "run `make golden` and look at the change"


def test_the_watch_runs_its_stages_and_leaves_the_pin_of_the_night_alone(tmp_path: Path) -> None:
    path = compile_graph(rollout_watch.NAME, tmp_path / "graph.yaml")
    found: dict[str, Any] = next(iter(YAML(typ="safe").load_all(path.read_text())))
    names = tasks(found, found["root"]["dag"])
    assert {stage_of(name) for name in names} == set(rollout_watch.STAGES)
    given = found["root"]["dag"]["tasks"]["extract-episodes"]["inputs"]["parameters"]
    assert given["pinned"]["runtimeValue"]["constant"] is False


def tasks(document: dict[str, Any], dag: dict[str, Any]) -> list[str]:
    found = []
    for name, task in dag["tasks"].items():
        component = document["components"][task["componentRef"]["name"]]
        found += tasks(document, component["dag"]) if "dag" in component else [name]
    return found


def test_every_stage_is_in_the_graph_and_every_branch_ends_in_the_report(
    document: dict[str, Any],
) -> None:
    names = tasks(document, document["root"]["dag"])
    assert {stage_of(name) for name in names} == set(STAGES)
    assert sum(stage_of(name) == "report" for name in names) == 4


def test_conditions_compare_booleans_only(document: dict[str, Any]) -> None:
    conditions = []

    def collect(dag: dict[str, Any]) -> None:
        for task in dag["tasks"].values():
            if condition := task.get("triggerPolicy", {}).get("condition"):
                conditions.append(condition)
            component = document["components"][task["componentRef"]["name"]]
            if "dag" in component:
                collect(component["dag"])

    collect(document["root"]["dag"])
    assert conditions
    assert all("== true" in condition for condition in conditions)


def test_steps_install_nothing_and_use_our_image(document: dict[str, Any]) -> None:
    for executor in document["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"].startswith("everloop-python:")
        assert "pip install" not in " ".join(container["command"])


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert [name for name, value in parameters.items() if not value.get("description")] == []


def test_a_wrong_wire_fails_when_the_graph_is_built() -> None:
    from kfp import dsl

    from components.extract_episodes import extract_episodes
    from components.gate import gate

    everything = {"product": "{}", "thresholds": "{}", "code": "x"}

    def wrong():  # kfp reads annotations, and here they would be strings
        extracted = extract_episodes(
            workspace="w", logical_date="d", tenant="t", refresh="", **everything
        )
        wires = ("validation", "rewards", "user_model", "profiles", "quality", "policy")
        gate(
            **everything,
            workspace="w",
            terms="{}",
            tenant="t",
            oversight="",
            **dict.fromkeys(wires, extracted.outputs["dataset"]),
            evaluation=extracted.outputs["dataset"],
            explanations=extracted.outputs["dataset"],
        )

    with pytest.raises(Exception, match=r"[Ii]ncompatible"):
        dsl.pipeline(name="wrong")(wrong)
    assert EpisodeDataset.schema_title == "system.EverloopEpisodeDataset"


def test_an_unknown_graph_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="daily-learning"):
        graph("nightly")
