"""A night runs the graph's steps in the graph's order, and ends where the graph would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from everloop.sdk.demo import night
from everloop.sdk.demo.night import learn
from pipelines.daily_learning import STAGES
from pipelines.local_run import StageEvent


@dataclass
class Step:
    """A step that writes its name and answers what it was told to."""

    stage: str
    answer: bool
    asked: list[str]

    @property
    def component_spec(self) -> Any:
        made = {self.stage: None, "page": None, "metrics": None, "Output": None}
        return SimpleNamespace(inputs={"logical_date": None, STAGES[0]: None}, outputs=made)

    def python_func(self, **given: Any) -> bool:
        self.asked.append(self.stage)
        print(f"@progress half of {self.stage}")
        given[self.stage].metadata.update({"stage": self.stage, "summary": f"{self.stage} said"})
        Path(given[self.stage].path).write_text(given["logical_date"])
        return self.answer


def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str = "") -> Any:
    asked: list[str] = []
    events: list[StageEvent] = []

    def imported(name: str) -> Any:
        stage = name.removeprefix("components.")
        return SimpleNamespace(**{stage: Step(stage, stage != fails, asked)})

    monkeypatch.setattr(night.importlib, "import_module", imported)
    return asked, events, learn({"logical_date": "2025-01-06"}, tmp_path / "night", events.append)


def test_every_step_runs_but_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, events, ended = tried(tmp_path, monkeypatch)
    assert asked == [stage for stage in STAGES if stage != "start_rollout"]
    assert (ended.ended_at, ended.reason) == ("", "")
    assert ended.path("gate").read_text() == "2025-01-06"
    assert list(ended.seconds) == asked
    assert [e.text for e in events if e.kind == "progress"] == [f"half of {s}" for s in asked]


@pytest.mark.parametrize("stage", ["validate_episodes", "fit_user_model", "generate_profiles"])
def test_a_no_ends_the_night_in_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    asked, _, ended = tried(tmp_path, monkeypatch, fails=stage)
    assert asked == [*STAGES[: STAGES.index(stage) + 1], "report"]
    assert (ended.ended_at, ended.reason) == (stage, f"{stage} said")


def test_only_the_graphs_own_branches_end_a_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, ended = tried(tmp_path, monkeypatch, fails="gate")
    assert ended.ended_at == ""


def test_a_night_begins_with_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "night" / "gate").mkdir(parents=True)
    (tmp_path / "night" / "gate" / "old").write_text("of a killed night")
    tried(tmp_path, monkeypatch)
    assert not (tmp_path / "night" / "gate" / "old").exists()


GRAPH = Path(__file__).resolve().parents[3] / "pipelines" / "golden" / "daily-learning.yaml"


def test_steps_get_the_policy_that_the_graph_hands_them() -> None:
    graph = next(yaml.safe_load_all(GRAPH.read_text()))
    given = [
        (stage.replace("-", "_"), task["inputs"]["artifacts"]["policy"]["taskOutputArtifact"])
        for component in graph["components"].values()
        for stage, task in component.get("dag", {}).get("tasks", {}).items()
        if "policy" in task.get("inputs", {}).get("artifacts", {})
    ]
    chosen = {stage for stage, source in given if source["outputArtifactKey"] == "chosen"}
    assert chosen == set(night.OF_THE_CHOSEN)
    assert {stage for stage, _ in given} > chosen


def test_what_the_comparison_chose_goes_on_and_the_report_shows_ppo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[str, str] = {}
    makes = {"train_policy": "policy", "evaluate_policy": "chosen"}

    def imported(name: str) -> Any:
        stage = name.removeprefix("components.")

        def step(**given: Any) -> bool:
            if "policy" in inputs:
                taken[stage] = Path(given["policy"].path).name
            return True

        outputs = {"page": None, makes.get(stage, "metrics"): None}
        inputs = {"policy": None} if STAGES.index(stage) > STAGES.index("train_policy") else {}
        spec = SimpleNamespace(inputs=inputs, outputs=outputs)
        return SimpleNamespace(**{stage: SimpleNamespace(component_spec=spec, python_func=step)})

    monkeypatch.setattr(night.importlib, "import_module", imported)
    learn({}, tmp_path / "night", lambda _: None)
    assert {stage for stage, name in taken.items() if name == "chosen"} == set(night.OF_THE_CHOSEN)
    assert taken["evaluate_policy"] == taken["report"] == "policy"
