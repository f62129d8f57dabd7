"""What released heads say of people: expectations, chances and sampled responses.

A value head gives a signal type's mean as low + (high - low) sigmoid(logit), a presence head the
probability that a type whose silence means missing is present at all; the reward is then the loop's own
weighted mean over the types that are. Acceptance and journey end have heads of their own. A moving
dimension's next value is 2 sigmoid(logit) - 1 in the mean.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import Responses
from synthetic.user_model.features import KINDS, FeatureMap, Features, missing_types
from synthetic.user_model.weights import RETENTION

DRIFT = 0.15
"""Standard deviation of what each moving dimension gains between decisions: public, not learned."""
CONCENTRATION = 4.0
"""alpha + beta of the Beta distribution that a signal is drawn from, around its mean."""
_MOST_MISSING = 12
"""Reward sums over all patterns of presence, 2 to this power at most."""


class Heads(Protocol):
    """Released parameters that turn features into logits."""

    @property
    def flat(self) -> Float:
        """(p,) all parameters."""

    def logits(self, seen: Features) -> Float:
        """(n, H): values, acceptance, presences, journey end, next contexts."""

    def columns(self, head: int) -> Int:
        """(q,) positions in ``flat`` of what a head's logit depends on."""

    def row(self, seen: Features, head: int) -> Float:
        """(n, q) gradient of a head's logit by those."""


@dataclass(frozen=True, slots=True, eq=False)
class _Believed:
    """Of n decisions: ``shares`` (n, S) positions of means within their range, ``present`` (n, S),
    ``accepted`` (n,), ``ends`` (n,), ``following`` (n, m) mean of the next moving dimensions."""

    shares: Float
    present: Float
    accepted: Float
    ends: Float
    following: Float


class ResponseModel:
    """Expectations and samples from released heads; see the module for the formulas.

    Args:
        spec: the loop; its ranges, weights and silences decide rewards.
        features: the public features.
        heads: the released parameters.
        moving: (d,) which dimensions move between decisions.

    Raises:
        ShouldFixLoopSpec: more types may be missing than rewards can be summed over.
    """

    def __init__(self, spec: LoopSpec, features: FeatureMap, heads: Heads, moving: Bool) -> None:
        self.features = features
        self._heads = heads
        self._missing = np.array(missing_types(spec), dtype=np.int64)
        if len(self._missing) > _MOST_MISSING:
            raise ShouldFixLoopSpec(
                f"{len(self._missing)} signal types have silence: missing, more than {_MOST_MISSING}.",
                "Let silence mean zero for some of them.",
            )
        ranges = [(-1.0, 1.0) if s.two_sided else (s.low, s.high) for s in spec.signals]
        self._low = np.array([low for low, _ in ranges])
        self._span = np.array([high - low for low, high in ranges])
        self._weight = np.array([s.weight for s in spec.signals])
        self._patterns = self._present_patterns()
        self._moving = moving

    def expected_signals(
        self, context: Float32, action: Int, slate: Float32 | None = None
    ) -> Float:
        """(n, S) expected mean of each type, given that it is present."""
        return self._low + self._span * self._believed(context, action, slate=slate).shares

    def presence(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """(n, S) probability that each type counts; 1 where silence means zero."""
        return self._believed(context, action, slate=slate).present

    def acceptance(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """(n,) probability that the reward reaches ``reward.success_at``."""
        return self._believed(context, action, slate=slate).accepted

    def end_chance(self, context: Float32, action: Int) -> Float:
        """(n,) probability that the person's journey ends after the decision."""
        return self._believed(context, action).ends

    def expected_reward(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """(n,) sum over the patterns of presence of their probability times the weighted mean.

        Types are present independently of each other given what presence heads see. A pattern without
        any type has no reward: the others are renormalised.
        """
        return self._reward_of(self._heads.logits(self.features.of(context, action, slate=slate)))

    def next_context(self, context: Float32, action: Int, resting: Float32 | None = None) -> Float:
        """(n, m) expected next values of the ``features.moving`` dimensions, of people who rest at
        ``resting`` (n, d); without it everyone is where they rest."""
        return self._believed(context, action, resting).following

    def reward_gradient(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """(n, p) gradient of the expected reward by the parameters, its derivatives by logits taken
        by central differences."""
        seen = self.features.of(context, action, slate=slate)
        logits = self._heads.logits(seen)
        slope = np.zeros_like(logits)
        signals = len(self._weight)
        for head in (*range(signals), *range(signals + 1, signals + 1 + len(self._missing))):
            step = np.zeros(logits.shape[1])
            step[head] = 1e-4
            slope[:, head] = (
                self._reward_of(logits + step) - self._reward_of(logits - step)
            ) / 2e-4
        found = np.zeros((len(slope), len(self._heads.flat)))
        for head in np.flatnonzero(slope.any(axis=0)).tolist():
            row = self._heads.row(seen, head)
            found[:, self._heads.columns(head)] += slope[:, [head]] * row
        return found

    def respond(
        self,
        resting: Float32,
        context: Float32,
        action: Int,
        rng: np.random.Generator,
        slate: Float32 | None = None,
    ) -> Responses:
        """Sample signals (Beta around their means), presence, the next context and the end.

        A dimension that interacts with actions moves: to the learned mean of its next value plus DRIFT
        e, unless it rests at exactly 0 or 1, an indicator. Where no next contexts were learned, that
        mean is r + RETENTION (x - r). The history block counts the decision and its reward. Everything
        else stays as it rests.
        """
        believed = self._believed(context, action, resting, slate)
        shape = np.clip(believed.shares, 1e-3, 1.0 - 1e-3) * CONCENTRATION
        signals = self._low + self._span * rng.beta(shape, CONCENTRATION - shape)
        counts = rng.random(believed.present.shape) < believed.present
        silent = ~counts.any(axis=1)
        counts[silent, believed.present[silent].argmax(axis=1)] = True
        weight = self._weight * counts
        reward = (signals * weight).sum(axis=1) / weight.sum(axis=1)
        return Responses(
            signals=signals,
            reward=reward,
            context=self._next(resting, context, action, believed.following, reward, rng),
            ended=rng.random(len(action)) < believed.ends,
            present=counts,
        )

    def _next(
        self,
        resting: Float32,
        context: Float32,
        action: Int,
        following: Float,
        reward: Float,
        rng: np.random.Generator,
    ) -> Float32:
        after = resting.astype(np.float64)
        moves = self._moving & (resting != 0.0) & (resting != 1.0)
        mean = after + RETENTION * (context - after)
        mean[:, self.features.moving] = following
        drawn = np.clip(mean + DRIFT * rng.standard_normal(after.shape), -1.0, 1.0)
        after[moves] = drawn[moves]
        if self.features.history is not None:
            start, length = self.features.history
            block = slice(start, start + len(KINDS) + 3)
            after[:, block] = remembered(
                context[:, block].astype(np.float64), self.features.kinds[action], reward, length
            )
            after[:, block.stop] = 0.0
        return after.astype(np.float32)

    def _reward_of(self, logits: Float) -> Float:
        signals = len(self._weight)
        means = self._low + self._span * expit(logits[:, :signals])
        present = self._present_of(logits)
        total, mass = np.zeros(len(means)), np.zeros(len(means))
        for pattern in self._patterns:
            chance = np.where(pattern, present, 1.0 - present)[:, self._missing].prod(axis=1)
            weight = self._weight * pattern
            total += chance * (means @ weight) / weight.sum()
            mass += chance
        return np.asarray(total / mass)

    def _believed(
        self,
        context: Float32,
        action: Int,
        resting: Float32 | None = None,
        slate: Float32 | None = None,
    ) -> _Believed:
        logits = self._heads.logits(self.features.of(context, action, resting, slate))
        signals, narrow = len(self._weight), len(self._weight) + 1 + len(self._missing)
        return _Believed(
            shares=expit(logits[:, :signals]),
            present=self._present_of(logits),
            accepted=expit(logits[:, signals]),
            ends=expit(logits[:, narrow]),
            following=2.0 * expit(logits[:, narrow + 1 :]) - 1.0,
        )

    def _present_of(self, logits: Float) -> Float:
        first = len(self._weight) + 1
        present = np.ones((len(logits), len(self._weight)))
        present[:, self._missing] = expit(logits[:, first : first + len(self._missing)])
        return present

    def _present_patterns(self) -> tuple[Bool, ...]:
        patterns = []
        for chosen in itertools.product((False, True), repeat=len(self._missing)):
            pattern = np.ones(len(self._weight), dtype=np.bool_)
            pattern[self._missing] = chosen
            if pattern.any():
                patterns.append(pattern)
        return tuple(patterns)


def remembered(block: Float, kind: Int, reward: Float, length: int) -> Float:
    """(n, K + 3) history blocks after one more decision of the given kinds (n,) and rewards (n,).

    n' = min(n + 1, length); every mean moves by (new - old) / n', the mean reward by (new - old) over
    how many of the n' have one.
    """
    rows, size = np.arange(len(block)), len(KINDS)
    count = np.clip(np.rint(block[:, size + 2] * length), 0.0, length)  # drawn people's may stray
    grown = np.minimum(count + 1.0, length)
    after = block.copy()
    chosen = np.zeros((len(block), size))
    chosen[rows, kind] = 1.0
    after[:, :size] += (chosen - block[:, :size]) / grown[:, None]
    after[:, size + 1] += (1.0 - block[:, size + 1]) / grown
    rewarded = np.maximum(after[:, size + 1] * grown, 1.0)
    after[:, size] += (reward - block[:, size]) / rewarded
    after[:, size + 2] = grown / length
    return np.clip(after, -1.0, 1.0)
