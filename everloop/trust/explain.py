"""Decisions in words: the specification's seven fields of a ``TrainingExplanation``."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Float, Int
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import TrainingExplanation
from everloop.contracts.loop_spec import ActionSpec, LoopSpec
from everloop.trust.context import summarise


def explain(
    spec: LoopSpec,
    contexts: Sequence[Mapping[str, Json]],
    episode_ids: Sequence[str],
    actions: Int,
    rewards: Float,
    expected_reward: Float,
    candidate_propensity: Float,
    logged_propensity: Float,
) -> tuple[TrainingExplanation, ...]:
    """Say of n decisions what was known, done, expected, seen, and what the candidate changes.

    Args:
        spec: the loop.
        contexts: n context snapshots, as logged.
        episode_ids: n ids.
        actions: (n,) logged actions, 0..A-1.
        rewards: (n,) in [-1, 1], NaN where no evidence came.
        expected_reward: (n, A) or (n,) the user model's expectation, of every or of the logged action.
        candidate_propensity: (n, A) with which the candidate would choose each action here.
        logged_propensity: (n,) with which the logging policy chose the logged one, NaN if unknown.

    Returns:
        n explanations in order. A field whose source is NaN is "" (or NaN), so that
        ``explained_share`` does not count it.

    Raises:
        ShouldFixArgument: naming the argument whose rows do not fit.
    """
    n, shape = len(contexts), (len(contexts), len(spec.actions))
    for name, found, wanted in (
        ("episode_ids", (len(episode_ids),), {(n,)}),
        ("actions", actions.shape, {(n,)}),
        ("rewards", rewards.shape, {(n,)}),
        ("expected_reward", expected_reward.shape, {shape, (n,)}),
        ("candidate_propensity", candidate_propensity.shape, {shape}),
        ("logged_propensity", logged_propensity.shape, {(n,)}),
    ):
        if found not in wanted:
            raise ShouldFixArgument(
                f"explain: {name} has shape {found} for {n} contexts and {shape[1]} actions.",
                f"Give {' or '.join(str(w) for w in sorted(wanted, key=len))}.",
            )
    rows = np.arange(n)
    expected = expected_reward[rows, actions] if expected_reward.ndim > 1 else expected_reward
    chance = candidate_propensity[rows, actions]
    favourite = np.where(np.isnan(candidate_propensity), -1.0, candidate_propensity).argmax(axis=1)
    took = [in_words(action) for action in spec.actions]
    ids = spec.action_ids
    return tuple(
        TrainingExplanation(
            episode_id=episode_id,
            context_summary=summary,
            action_taken=took[action],
            expected_outcome=_expected(spec, e),
            actual_outcome=_actual(spec, reward),
            reward_received=reward,
            model_adjustment=_adjustment(ids[action], c, logged, ids[best], top),
        )
        for episode_id, summary, action, e, reward, c, logged, best, top in zip(
            episode_ids,
            summarise(spec, contexts),
            actions.tolist(),
            expected.tolist(),
            rewards.tolist(),
            chance.tolist(),
            logged_propensity.tolist(),
            favourite.tolist(),
            candidate_propensity[rows, favourite].tolist(),
            strict=True,
        )
    )


def in_words(action: ActionSpec) -> str:
    """An action as a person would tell it, with its id."""
    if action.kind is ActionKind.SUGGEST_PAIRING:
        people = "1 person" if action.people == 1 else f"{action.people} people"
        return f"suggested a pairing with {people} ({action.id})"
    if action.kind is ActionKind.RECOMMEND_HIVE:
        return f"recommended {action.event_id} ({action.id})"
    if action.kind is ActionKind.INTERVENTION:
        return f"stepped in, in a {action.tone} tone, with '{action.message}' ({action.id})"
    return f"left the person alone ({action.id})"


def outcome_of(spec: LoopSpec, reward: float) -> str:
    """``success``, ``neutral`` or ``failure`` by the loop's thresholds."""
    if reward >= spec.reward.success_at:
        return "success"
    return "failure" if reward <= spec.reward.failure_at else "neutral"


def _expected(spec: LoopSpec, reward: float) -> str:
    if math.isnan(reward):
        return ""
    return f"{outcome_of(spec, reward)}: the user model expected a reward of {reward:.2f}"


def _actual(spec: LoopSpec, reward: float) -> str:
    if math.isnan(reward):
        return "not known: no evidence arrived before the episode closed"
    return f"{outcome_of(spec, reward)}: a reward of {reward:.2f}"


def _adjustment(action: str, chance: float, logged: float, best: str, top: float) -> str:
    if math.isnan(chance):
        return ""
    before = (
        "; what was logged is unknown"
        if math.isnan(logged)
        else f" instead of {logged:.2f} (logged)"
    )
    says = f"The candidate chooses {action} here with probability {chance:.2f}{before}"
    return f"{says}." if best == action else f"{says}; its first choice is {best} ({top:.2f})."


class Tally:
    """What is kept of explanations that pass by: how many are complete, and a few to be read.

    The few are those whose ids have the smallest SHA-256: a sample that nobody chose, the same for the
    same ids whatever else there is.

    Args:
        most: how many to keep.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[bytes, int, TrainingExplanation]] = []
        self.count = self.complete = 0

    def add(self, explanations: Sequence[TrainingExplanation]) -> None:
        """Count the next ones."""
        told = [
            (hashlib.sha256(one.episode_id.encode()).digest(), place, one)
            for place, one in enumerate(explanations, self.count)
        ]
        self._kept = heapq.nsmallest(self._most, self._kept + told, key=itemgetter(0, 1))
        self.count += len(explanations)
        self.complete += sum(map(is_complete, explanations))

    @property
    def shown(self) -> tuple[TrainingExplanation, ...]:
        """The few, in the order in which they passed."""
        return tuple(one for _, _, one in sorted(self._kept, key=itemgetter(1)))

    def share(self, episodes: int) -> float:
        """Share of ``episodes`` training episodes with all seven fields; NaN when there are none.

        Raises:
            ShouldFixArgument: there are more explanations than episodes.
        """
        if self.count > episodes:
            raise ShouldFixArgument(
                f"{self.count} explanations cannot cover {episodes} episodes.",
                "Count the episodes that should be explained.",
            )
        return self.complete / episodes if episodes else math.nan


def explained_share(explanations: Sequence[TrainingExplanation], episodes: int) -> float:
    """``Tally.share`` of all explanations at once."""
    tally = Tally(0)
    tally.add(explanations)
    return tally.share(episodes)


def is_complete(explanation: TrainingExplanation) -> bool:
    """Whether every field says something: no empty text, and a reward that is a number."""
    texts = (
        explanation.episode_id,
        explanation.context_summary,
        explanation.action_taken,
        explanation.expected_outcome,
        explanation.actual_outcome,
        explanation.model_adjustment,
    )
    return all(text.strip() for text in texts) and math.isfinite(explanation.reward_received)
