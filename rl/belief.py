"""A user model together with its doubts, so that a policy does not exploit what is only guessed.

Privacy noise and sampling leave many models possible. A release that says how far it may be off is
answered for by several models drawn from what it leaves possible, and every simulated reward is lowered by
``pessimism`` standard errors of what the decision is expected to earn above doing nothing,

    r(s, a) - pessimism se(r(s, a) - r(s, no_action)).

A doubt that all actions share cannot change which is best; taken off, it would only hide the doubts that
do. Doing nothing itself is never penalised. In a catalogue without an action of kind no_action there is
nothing to compare with, and the standard error is that of r(s, a).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, cast

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import Responses, UncertainUserModel, UserModel

ROWS = 64
"""Decisions that one member answers together; who answers is drawn anew for every so many."""
WIDEST = 1.0
"""Nothing within [-1, 1], where rewards lie, has a larger standard deviation (Popoviciu 1935). The delta
method is linear and may say more where a release knows next to nothing; that is then all it means. A
difference of two rewards could have twice that, but more would only push all that is doubted to -1."""
BROKEN = 100.0
"""A standard error beyond it is no doubt but damage: no gradient of a reward times a released precision
comes near it."""
_MEMBERS = 0x62656C69
"""Marks the stream that members are drawn from, so that no other draw of a seed repeats it."""


class _Responding(Protocol):
    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses: ...


class BelievedUserModel:
    """``UserModel`` whose sampled responses come from plausible members, less a penalty for doubt.

    Expectations are the released model's own.

    Args:
        model: the release.
        members: who answers; none: the release itself.
        pessimism: standard errors that are taken off a simulated reward.
        reference: position of the action that others must earn more than; ``None``: the standard errors
            are those of expected rewards themselves.
    """

    def __init__(
        self,
        model: UncertainUserModel,
        members: tuple[UserModel, ...],
        pessimism: float,
        reference: int | None = None,
    ) -> None:
        self.model = model
        self.members = members
        self.pessimism = pessimism
        self.reference = reference
        self._answering: tuple[_Responding, ...] = members or (model,)

    @property
    def release_id(self) -> str:
        return self.model.release_id

    @property
    def parameters(self) -> int:
        return self.model.parameters

    def expected_signals(
        self, context: Float32, action: Int, slate: Float32 | None = None
    ) -> Float:
        return self.model.expected_signals(context, action, slate)

    def expected_reward(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        return self.model.expected_reward(context, action, slate)

    def acceptance(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        return self.model.acceptance(context, action, slate)

    def end_chance(self, context: Float32, action: Int) -> Float:
        return self.model.end_chance(context, action)

    @property
    def penalty(self) -> str:
        """What is taken off each reward, for people to read."""
        above = "" if self.reference is None else " above that of doing nothing"
        return f"{self.pessimism:g} standard errors of the expected reward{above}"

    def cautious_reward(self, context: Float32, action: Int) -> Float:
        """(n,) expected reward less ``pessimism`` standard errors, within [-1, 1]; the expected reward
        itself where the action is the reference."""
        expected = self.model.expected_reward(context, action)
        return self._lowered(expected, context, action)

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        """Members answer ``ROWS`` decisions at a time, drawn at random; then the penalty is taken off.

        Raises:
            ShouldRestoreArtefact: a member answered what is not a number or rewards of another shape, or
                ``doubt`` refuses a standard error.
        """
        parts = []
        for start in range(0, len(action), ROWS):
            rows = slice(start, start + ROWS)
            which = int(rng.integers(len(self._answering)))
            part = self._answering[which].respond(resting[rows], context[rows], action[rows], rng)
            one_each(part.reward, len(action[rows]), self.release_id, "rewards")
            self._require_numbers(part, which)
            parts.append(part)
        whole = parts[0] if len(parts) == 1 else _together(parts)
        return replace(whole, reward=self._lowered(whole.reward, context, action))

    def _lowered(self, reward: Float, context: Float32, action: Int) -> Float:
        one_each(reward, len(action), self.release_id, "rewards")
        if self.pessimism == 0.0:
            return reward
        errors = doubt(self.model, context, action, self.reference)
        return np.clip(reward - self.pessimism * errors, -1.0, 1.0)

    def _require_numbers(self, part: Responses, which: int) -> None:
        if np.isfinite(part.reward).all() and np.isfinite(part.context).all():
            return
        who = f"Member {which} of user model" if self.members else "User model"
        raise ShouldRestoreArtefact(
            f"{who} {self.release_id} answered what is not a number.", "Fit the user model again."
        )


def doubt(model: UncertainUserModel, context: Float32, action: Int, reference: int | None) -> Float:
    """(n,) how far what is expected of (n,) actions may be off: standard errors within [0, ``WIDEST``].

    Whoever takes doubts off rewards takes these: simulators, the head start and other learners.

    Args:
        model: who says so.
        context, action: (n, d) states and (n,) positions in the catalogue.
        reference: position of the action that others must earn more than; ``None``: none.

    Raises:
        ShouldRestoreArtefact: a standard error is negative, not a number or beyond ``BROKEN``, or there is
            not one for each action.
    """
    errors = model.reward_standard_error(context, action, reference=reference)
    one_each(errors, len(action), model.release_id, "standard errors")
    known = (errors >= 0.0) & (errors <= BROKEN)
    if not known.all():
        raise ShouldRestoreArtefact(
            f"User model {model.release_id} says that an expected reward may be off by "
            f"{float(errors[~known][0]):g}, which is no standard error of a reward within [-1, 1].",
            "Fit the user model again.",
        )
    return np.minimum(errors, WIDEST)


def one_each(answers: Float, count: int, release_id: str, what: str) -> None:
    """Refuse what is not one answer for each of ``count`` decisions.

    Raises:
        ShouldRestoreArtefact: naming the shape.
    """
    if answers.shape != (count,):
        raise ShouldRestoreArtefact(
            f"User model {release_id} answered {what} of shape {answers.shape}, not ({count},).",
            "Fit the user model again.",
        )


def believed(model: UserModel, spec: LoopSpec, seed: int) -> UserModel:
    """The model that a policy is trained against, with as much doubt as the specification asks for.

    A model that does not know how far it may be off is returned as it is.

    Args:
        model: the release.
        spec: the loop; of its training, ``ensemble`` members answer and ``pessimism`` standard errors are
            taken off, against doing nothing where its catalogue has that.
        seed: of the members; equal seeds give equal members.
    """
    training = spec.training
    if training.ensemble == 0 and training.pessimism == 0.0:
        return model
    if not knows_its_error(model):
        return model
    uncertain = cast("UncertainUserModel", model)
    rng = np.random.default_rng([seed, _MEMBERS])
    members = uncertain.plausible(training.ensemble, rng) if training.ensemble else ()
    return BelievedUserModel(uncertain, members, training.pessimism, doing_nothing(spec))


def doing_nothing(spec: LoopSpec) -> int | None:
    """Position of the catalogue's first action of kind no_action; ``None``: it has none."""
    kinds = [action.kind for action in spec.actions]
    return kinds.index(ActionKind.NO_ACTION) if ActionKind.NO_ACTION in kinds else None


def knows_its_error(model: UserModel) -> bool:
    """Whether a model is an ``UncertainUserModel`` whose release says how far it may be off."""
    if not hasattr(model, "plausible"):
        return False
    try:
        cast("UncertainUserModel", model).plausible(1, np.random.default_rng(0))
    except ShouldRestoreArtefact:
        return False
    return True


def _together(parts: list[Responses]) -> Responses:
    present = [part.present for part in parts]
    known = [one for one in present if one is not None]
    return Responses(
        signals=np.concatenate([part.signals for part in parts]),
        reward=np.concatenate([part.reward for part in parts]),
        context=np.concatenate([part.context for part in parts]),
        ended=np.concatenate([part.ended for part in parts]),
        present=np.concatenate(known) if len(known) == len(parts) else None,
    )
