"""An experiment's search: what is asked, what its step says, and which Ray it runs on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import _sweeping, _training
from everloop.contracts.documents import read
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.sweeps import SweepTable
from everloop.loops import load
from pipelines.experiment import SPACE
from rl.ppo.cluster import Cluster
from rl.tune import sweep as sweeping
from tests.learning.worlds import World, identity, loop_of, people
from tests.unit.contracts.test_sweeps import TABLE

SPEC = load("companion")


def test_a_space_is_several_dimensions_in_one_text() -> None:
    plan = _sweeping.plan_of(SPEC, f"{SPACE}; training.hidden=choice(32,64) ;", 4, "asha", 2, 7)
    names = [dimension.setting for dimension in plan.space.dimensions]
    assert names == [
        "training.learning_rate",
        "training.epochs",
        "exploration.start",
        "training.hidden",
    ]
    assert (plan.trials, plan.scheduler, plan.cpus, plan.seed) == (4, "asha", 2, 7)


@pytest.mark.parametrize(
    ("space", "scheduler", "trials", "said"),
    [
        ("", "asha", 4, "empty"),
        ("training.learning_rate=0.1", "asha", 4, "no dimension"),
        ("privacy.epsilon=uniform(1,2)", "asha", 4, "cannot be tuned"),
        (SPACE, "random", 4, "no scheduler"),
        (SPACE, "asha", 0, "trials=0"),
        (SPACE, "pbt", 2, "of 2"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    space: str, scheduler: str, trials: int, said: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        _sweeping.plan_of(SPEC, space, trials, scheduler, 1, 0)


def test_the_step_says_every_trial() -> None:
    rows = dict(_sweeping.sweep_rows(TABLE))
    assert rows["sweep"] == "0123456789abcdef"
    assert rows["best trial"].startswith("00003: exploration.start=0.25")
    assert rows["trial 00003"].startswith("1.50 [1.40, 1.60], finished: ")
    assert rows["trial 00001"].startswith("not judged, stopped early: ")


def test_the_best_trials_policy_is_left_as_a_nights_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = loop_of(2, 2, iterations=1, environments=8, rollout_length=8, hidden=8, epochs=1)
    asked: list[Any] = []

    def found(*given: Any, **named: Any) -> Any:
        asked.append((given, named))
        best = _training.train(spec, given[1], given[2], given[2].encoder, 0, tmp_path / "best")
        named["progress"](TABLE.winner)
        return SimpleNamespace(table=TABLE, best=best)

    monkeypatch.setattr(sweeping, "sweep", found)
    monkeypatch.setenv("EVERLOOP_RAY_ADDRESS", "10.0.0.5:6379")
    plan = _sweeping.plan_of(spec, "training.clip=uniform(0.1,0.3)", 2, "asha", 1, 0)
    others = [tmp_path / "alternatives", tmp_path / "report-only"]
    told = _sweeping.sweep_resumably(
        spec,
        World(identity),
        people(spec),
        plan,
        "code",
        tmp_path,
        tmp_path / "policy",
        tmp_path / "table.json",
        others,
    )
    ((given, _),) = asked
    assert given[5] == "10.0.0.5:6379"
    assert given[4].parent == tmp_path / "tuning"
    assert read(SweepTable, tmp_path / "table.json") == TABLE
    names = {file.name for file in (tmp_path / "policy").iterdir()}
    assert names == {*_training.FILES, "figures.json"}
    assert [(folder / "learned.json").read_text().strip() for folder in others] == ["[]", "[]"]
    assert "@progress trial 00003: 1.5" in capsys.readouterr().out
    assert told[0].startswith("best of 2 trials: exploration.start=0.25 training.hidden=32; judged")


@pytest.mark.parametrize(
    ("environment", "cluster"),
    [
        ({}, None),
        ({"EVERLOOP_RAY_RUNNERS": "3"}, Cluster(None, 3, 0)),
        (
            {
                "EVERLOOP_RAY_ADDRESS": "h:1",
                "EVERLOOP_RAY_RUNNERS": "2",
                "EVERLOOP_RAY_LEARNERS": "1",
            },
            Cluster("h:1", 2, 1),
        ),
    ],
)
def test_a_nights_training_joins_the_ray_that_the_environment_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    cluster: Cluster | None,
) -> None:
    class Enough(Exception):
        pass

    seen: list[Any] = []

    def train(*given: Any) -> None:
        seen.append(given[-1])
        raise Enough

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_training, "train", train)
    spec = loop_of(2, 2)
    with pytest.raises(Enough):
        _training.train_resumably(
            spec, World(identity), people(spec), "code", tmp_path, tmp_path / "policy"
        )
    assert seen == [cluster]
