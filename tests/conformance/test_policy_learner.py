"""One suite for every ``PolicyLearner``: repeatable, honest, masked, and better than chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everloop.contracts import documents
from everloop.contracts.datasets import EncodedEpisodes, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.models import Provenance, States
from everloop.contracts.policy_learning import LearnedPolicy, LearningTask
from rl.encoders import layout
from rl.learners import LEARNERS
from rl.policy_card import PolicyCard
from rl.runtime import OnnxPolicy, load_policy
from tests.learning.worlds import Answer, World, bandit, loop_of, people

MEANS = [0.1, 0.3, 0.8, 0.2]
SPEC = loop_of(
    fields=2,
    actions=4,
    iterations=12,
    environments=32,
    rollout_length=16,
    hidden=16,
    learning_rate=3e-3,
    journey_length=1,
)


def log_of(seed: int = 3, n: int = 2000) -> EncodedEpisodes:
    """Uniform decisions on the bandit; every second person is held out."""
    rng = np.random.default_rng(seed)
    action = rng.integers(4, size=n)
    person = np.arange(n) // 2
    reward = (rng.random(n) < np.array(MEANS)[action]).astype(np.float64)
    return EncodedEpisodes(
        episode_id=np.array([f"e{i}" for i in range(n)]),
        person=person,
        people=np.array([f"p{i:05d}" for i in range(n // 2)]),
        context=rng.uniform(-1, 1, (n, layout(SPEC).width)).astype(np.float32),
        interacting=np.zeros(layout(SPEC).width, dtype=np.bool_),
        action=action,
        mask=np.ones((n, 4), dtype=np.bool_),
        propensity=np.full(n, 0.25),
        reward=reward,
        signals=reward[:, None],
        holdout=person % 2 == 0,
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=np.arange(n, dtype=np.float64),
        encoder=layout(SPEC).encoder,
    )


def task_of(folder: Path, **changes: Any) -> LearningTask:
    world: Any = World(bandit_mean, "release")
    task = LearningTask(SPEC, world, people(SPEC), 5, folder, log_of())
    return replace(task, **changes)


def bandit_mean(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
    return bandit(MEANS)(context, action, rng)


class Expecting(World):
    """The bandit, with its expectations known exactly."""

    def expected_reward(self, context: Float32, action: Int, slate: Any = None) -> Float:
        return np.array(MEANS)[action]


@dataclass(frozen=True)
class Case:
    learned: LearnedPolicy
    policy: OnnxPolicy


@pytest.fixture(scope="module", params=sorted(LEARNERS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    task = task_of(folder, model=Expecting(bandit_mean, "release"))
    learned = LEARNERS[request.param].learn(task)
    return Case(learned, load_policy(learned.folder / "policy.onnx", spec=SPEC))


def states(n: int = 1000, seed: int = 9) -> States:
    rng = np.random.default_rng(seed)
    mask = rng.random((n, 4)) < 0.5
    mask[np.arange(n), rng.integers(4, size=n)] = True
    return States(rng.uniform(-1, 1, (n, layout(SPEC).width)).astype(np.float32), mask)


def test_the_same_task_gives_the_same_weights_and_the_log_is_none_of_it(
    case: Case, tmp_path: Path
) -> None:
    """A deployable policy is learned once with the log at hand and once without."""
    name = case.learned.learner
    task = task_of(tmp_path, model=Expecting(bandit_mean, "release"))
    again = LEARNERS[name].learn(replace(task, episodes=None) if case.learned.deployable else task)
    assert again.version == case.learned.version
    for file in ("policy.safetensors", "policy.onnx"):
        assert documents.sha256_of(again.folder / file) == documents.sha256_of(
            case.learned.folder / file
        )


def test_it_is_better_than_uniform_on_a_bandit(case: Case) -> None:
    everything = np.ones((200, 4), dtype=np.bool_)
    answer = case.policy.act(States(states(200).context, everything), 0.0)
    earned = float((answer.propensity @ np.array(MEANS)).mean())
    assert earned > np.mean(MEANS) + 0.1


def test_an_invalid_action_is_never_taken_and_propensities_sum_to_one(case: Case) -> None:
    asked = states()
    for epsilon in (0.0, 0.1, 1.0):
        propensity = case.policy.act(asked, epsilon).propensity
        assert (propensity[~asked.mask] == 0.0).all()
        np.testing.assert_allclose(propensity.sum(axis=1), 1.0, atol=1e-12)
        floor = epsilon / asked.mask.sum(axis=1, keepdims=True) - 1e-6
        assert (propensity >= np.where(asked.mask, floor, 0.0)).all()


def test_its_card_says_what_it_is(case: Case) -> None:
    card = documents.read(PolicyCard, case.learned.folder / "policy.json")
    assert (card.learner, card.provenance) == (case.learned.learner, case.learned.provenance)
    assert card.version == case.learned.version == case.policy.version
    assert (case.policy.learner, case.policy.provenance) == (card.learner, card.provenance)
    assert card.onnx_sha256 == documents.sha256_of(case.learned.folder / "policy.onnx")
    assert card.weights_sha256 == documents.sha256_of(case.learned.folder / "policy.safetensors")
    assert card.export_error <= 1e-5
    assert card.propensity_error <= 1e-5
    assert -1 <= card.first_reward <= 1
    assert card.last_reward > card.first_reward


def test_only_what_saw_no_log_is_deployable(case: Case) -> None:
    raw = case.learned.learner == "raw_dr"
    assert case.learned.provenance is LEARNERS[case.learned.learner].provenance
    assert case.learned.deployable is not raw
    card = documents.read(PolicyCard, case.learned.folder / "policy.json")
    assert (card.provenance is Provenance.RAW_LOG) is raw
    named = {card.user_model_release, card.profiles_release}
    assert named == ({""} if raw else {"release", "people"})


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_a_user_model_that_answers_nan_is_refused(name: str, tmp_path: Path) -> None:
    def broken(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        reward, following, ended = bandit_mean(context, action, rng)
        return np.full_like(reward, np.nan), following, ended

    with pytest.raises(ShouldRestoreArtefact, match="broken"):
        LEARNERS[name].learn(task_of(tmp_path, model=World(broken, "broken")))
    assert not (tmp_path / "policy.json").exists()


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_profiles_of_another_encoder_are_refused(name: str, tmp_path: Path) -> None:
    strange = replace(people(SPEC), encoder="other-1")
    with pytest.raises(ShouldFixArgument, match="other-1"):
        LEARNERS[name].learn(task_of(tmp_path, profiles=strange))


def test_the_raw_logs_learner_needs_the_log(tmp_path: Path) -> None:
    with pytest.raises(ShouldFixArgument, match="no episodes"):
        LEARNERS["raw_dr"].learn(task_of(tmp_path, episodes=None))
