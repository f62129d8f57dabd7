"""The user model with its doubts: who answers, what is taken off, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import ActionSpec, LoopSpec
from everloop.contracts.simulation import Responses
from rl.belief import ROWS, BelievedUserModel, believed, doing_nothing, doubt, knows_its_error
from tests.learning.worlds import World, identity, loop_of

CONTEXT = np.zeros((2 * ROWS, 3), dtype=np.float32)
ACTION = np.zeros(2 * ROWS, dtype=np.int64)


@dataclass(frozen=True)
class Constant:
    """Every reward is ``value``; the standard error of action a is ``error`` (a + 1), that of how much more
    it earns than z is ``error`` |a - z|."""

    value: float = 0.5
    error: float = 0.1
    knows: bool = True
    release_id: str = "release"
    parameters: int = 3

    def expected_reward(self, context: Float32, action: Int, slate: Any = None) -> Float:
        return np.full(len(action), self.value)

    def expected_signals(self, context: Float32, action: Int, slate: Any = None) -> Float:
        return np.full((len(action), 1), self.value)

    def acceptance(self, context: Float32, action: Int, slate: Any = None) -> Float:
        return np.full(len(action), self.value)

    def end_chance(self, context: Float32, action: Int) -> Float:
        return np.full(len(action), 0.25)

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        reward = np.full(len(action), self.value)
        return Responses(reward[:, None], reward, context, np.zeros(len(action), dtype=np.bool_))

    def plausible(self, count: int, rng: np.random.Generator) -> tuple[Constant, ...]:
        if not self.knows:
            raise ShouldRestoreArtefact("does not say")
        return tuple(replace(self, value=v) for v in rng.uniform(-0.5, 0.5, size=count))

    def reward_standard_error(
        self, context: Float32, action: Int, *, reference: int | None = None
    ) -> Float:
        return self.error * np.abs(action - (-1.0 if reference is None else reference))


@dataclass(frozen=True)
class AlikeDoubt(Constant):
    """Action a is expected to earn a tenth of a; all of it is one guess, so differences are certain."""

    def expected_reward(self, context: Float32, action: Int, slate: Any = None) -> Float:
        return 0.1 * action

    def reward_standard_error(
        self, context: Float32, action: Int, *, reference: int | None = None
    ) -> Float:
        return np.full(len(action), 0.9 if reference is None else 0.0)


def training(**given: Any) -> LoopSpec:
    """Two events and no action of kind no_action."""
    return loop_of(1, 2, **given)


def with_nothing(at: int, **given: Any) -> LoopSpec:
    """Two events and, at a position, doing nothing."""
    spec = training(**given)
    quiet = ActionSpec(id="stay", kind=ActionKind.NO_ACTION)
    return spec.model_copy(update={"actions": (*spec.actions[:at], quiet, *spec.actions[at:])})


def test_members_answer_in_blocks_and_expectations_are_the_releases() -> None:
    model = believed(Constant(), training(ensemble=4, pessimism=0.0), seed=3)
    assert isinstance(model, BelievedUserModel)
    values = {member.expected_reward(CONTEXT[:1], ACTION[:1])[0] for member in model.members}
    seen: set[float] = set()
    rng = np.random.default_rng(1)
    for _ in range(30):
        reward = model.respond(CONTEXT, CONTEXT, ACTION, rng).reward
        blocks = [set(reward[:ROWS]), set(reward[ROWS:])]
        assert [len(block) for block in blocks] == [1, 1]
        seen |= blocks[0] | blocks[1]
    assert seen == values
    assert model.expected_reward(CONTEXT[:1], ACTION[:1])[0] == 0.5
    assert model.expected_signals(CONTEXT[:1], ACTION[:1])[0, 0] == 0.5
    assert model.acceptance(CONTEXT[:1], ACTION[:1])[0] == 0.5
    assert model.end_chance(CONTEXT[:1], ACTION[:1])[0] == 0.25
    assert (model.release_id, model.parameters) == ("release", 3)


def test_equal_seeds_have_equal_members() -> None:
    def members(seed: int) -> list[float]:
        model = believed(Constant(), training(ensemble=3), seed)
        assert isinstance(model, BelievedUserModel)
        return [float(m.expected_reward(CONTEXT[:1], ACTION[:1])[0]) for m in model.members]

    assert members(1) == members(1) != members(2)


def test_standard_errors_are_taken_off_and_rewards_stay_in_range() -> None:
    model = BelievedUserModel(Constant(), (), pessimism=2.0)
    action = np.array([0, 1, 9])
    reward = model.respond(CONTEXT[:3], CONTEXT[:3], action, np.random.default_rng(1)).reward
    np.testing.assert_allclose(reward, [0.5 - 0.2, 0.5 - 0.4, -1.0])
    np.testing.assert_allclose(model.cautious_reward(CONTEXT[:3], action), reward)


def test_doing_nothing_is_never_penalised_and_others_are_compared_with_it() -> None:
    model = believed(Constant(), with_nothing(1, ensemble=0, pessimism=2.0), seed=3)
    assert isinstance(model, BelievedUserModel)
    assert model.penalty == "2 standard errors of the expected reward above that of doing nothing"
    action = np.array([0, 1, 2])
    np.testing.assert_allclose(model.cautious_reward(CONTEXT[:3], action), [0.3, 0.5, 0.3])
    reward = model.respond(CONTEXT[:3], CONTEXT[:3], action, np.random.default_rng(1)).reward
    np.testing.assert_allclose(reward, [0.3, 0.5, 0.3])


def test_where_nothing_cannot_be_done_the_doubt_is_that_of_the_reward_itself() -> None:
    model = believed(Constant(), training(ensemble=0, pessimism=2.0), seed=3)
    assert isinstance(model, BelievedUserModel)
    assert model.penalty == "2 standard errors of the expected reward"
    np.testing.assert_allclose(model.cautious_reward(CONTEXT[:2], np.array([0, 1])), [0.3, 0.1])
    assert doing_nothing(training()) is None
    assert [doing_nothing(with_nothing(at)) for at in (0, 2)] == [0, 2]


def test_a_doubt_that_all_actions_share_changes_no_ranking() -> None:
    action = np.arange(5)
    compared = BelievedUserModel(AlikeDoubt(), (), 2.0, reference=0)
    np.testing.assert_allclose(compared.cautious_reward(CONTEXT[:5], action), 0.1 * action)
    # Taken off the level, it sends all of them to the end of the range, where none is better.
    level = BelievedUserModel(AlikeDoubt(), (), 2.0)
    assert set(level.cautious_reward(CONTEXT[:5], action)) == {-1.0}


def test_a_release_that_does_not_know_its_error_answers_alone() -> None:
    silent, world = Constant(knows=False), World(identity)
    for model in (silent, world):
        assert not knows_its_error(model)  # type: ignore[arg-type]
        assert believed(model, training(), seed=1) is model  # type: ignore[arg-type]
    known = Constant()
    assert believed(known, training(ensemble=0, pessimism=0.0), seed=1) is known


def test_a_release_that_knows_next_to_nothing_costs_the_widest_doubt_there_is() -> None:
    model = BelievedUserModel(Constant(error=2.3277), (), 0.5)
    np.testing.assert_allclose(model.cautious_reward(CONTEXT, np.zeros_like(ACTION)), 0.5 - 0.5)


def test_a_standard_error_beyond_all_doubt_is_refused() -> None:
    model = BelievedUserModel(Constant(error=3e11), (), 0.5)
    with pytest.raises(ShouldRestoreArtefact, match=r"may be off by 3e\+11"):
        model.cautious_reward(CONTEXT, ACTION)


@pytest.mark.parametrize("error", [-0.01, 101.0, float("nan"), float("inf")])
def test_what_is_no_standard_error_is_no_doubt(error: float) -> None:
    with pytest.raises(
        ShouldRestoreArtefact, match=f"User model release .* off by {error:g}, which"
    ):
        doubt(Constant(error=error), CONTEXT, ACTION, None)


def test_a_doubt_is_a_standard_error_up_to_the_widest_there_is() -> None:
    action = np.array([0, 1, 4, 99])
    found = doubt(Constant(error=0.4), CONTEXT[:4], action, None)
    np.testing.assert_allclose(found, [0.4, 0.8, 1.0, 1.0])
    np.testing.assert_allclose(doubt(Constant(error=0.4), CONTEXT[:1], action[:1], 0), [0.0])


@dataclass(frozen=True)
class Column(Constant):
    """Rewards as a column, (n, 1)."""

    def expected_reward(self, context: Float32, action: Int, slate: Any = None) -> Float:
        return np.full((len(action), 1), self.value)

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        whole = Constant.respond(self, resting, context, action, rng)
        return replace(whole, reward=whole.reward[:, None])


def test_a_reward_of_another_shape_is_named() -> None:
    model = BelievedUserModel(Column(), (), 1.0)
    wanted = r"User model release answered rewards of shape \(4, 1\), not \(4,\)"
    with pytest.raises(ShouldRestoreArtefact, match=wanted):
        model.cautious_reward(CONTEXT[:4], ACTION[:4])
    with pytest.raises(ShouldRestoreArtefact, match=wanted):
        model.respond(CONTEXT[:4], CONTEXT[:4], ACTION[:4], np.random.default_rng(1))


@pytest.mark.parametrize("broken", ["member", "error"])
def test_what_is_not_a_number_is_refused_by_name(broken: str) -> None:
    nan = float("nan")
    model = (
        BelievedUserModel(Constant(), (Constant(value=nan),), 0.0)
        if broken == "member"
        else BelievedUserModel(Constant(error=nan), (), 1.0)
    )
    wanted = "Member 0 of user model release" if broken == "member" else "may be off by nan"
    with pytest.raises(ShouldRestoreArtefact, match=wanted):
        model.respond(CONTEXT, CONTEXT, ACTION, np.random.default_rng(1))
