"""People planted in a user model's fit, each alone in a direction of their own.

Canary i's context is 1 in a dimension that nobody else has and 0 elsewhere, and its feature there is
large, so that the person's gradient is clipped and lies in that direction alone: the strongest person
that the mechanism allows. The weight of that feature moves towards what they answered by
rate C / N sum_t a_t if they took part, and by noise of deviation rate sigma C / N sqrt(sum_t a_t^2) in
either case, a_t = ``schedule.noise_response``; with people sampled at rate q, N is q N and each step has
a person with chance q. Everything else is the code that releases: features, gathering, sampling,
clipping, optimizer, noise. It runs a second time with ``QUIET`` of the noise, which shows what a person
moves and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import Mechanism, SubsampledGaussianMechanism
from synthetic.audit.verdict import AuditResult, Shift, judge, mean_shift
from synthetic.noise import Noise, SealedNoise
from synthetic.people import PeopleEpisodes, gather, people_of
from synthetic.user_model.features import CONTEXT_SCALE, KINDS, FeatureMap, missing_types
from synthetic.user_model.schedule import noise_response
from synthetic.user_model.weights import Weights, unflatten

ORDINARY = 16
"""Context dimensions of everybody else."""
GAIN = 20.0
"""A canary's own feature: gradients are clipped at far less."""
LOGIT_NOISE = 0.3
"""Deviation of a canary's logit from the noise; the rate is chosen for it, so that no canary's answer is
learned so well that its gradient falls below the clip."""

QUIET = 1e-3
"""Share of the noise under which a person's shift is measured."""
SHIFT_TOLERANCE = 0.05
"""Share of a canary's shift that is not the mechanism's: a gradient lies a little in the intercept too, and
changes with what was learned."""


class Fit(Protocol):
    """The signature of ``synthetic.private_fit.private_fit`` that an audit uses."""

    def __call__(
        self,
        spec: LoopSpec,
        features: FeatureMap,
        people: PeopleEpisodes,
        start: Weights,
        mechanism: Mechanism,
        learning_rate: float,
        noise: Noise,
    ) -> Weights:
        """Weights after the mechanism."""


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """Episodes of ordinary people and of the canaries whose coin fell on their side.

    ``included``: (m,) the coins of all canaries.
    """

    episodes: EncodedEpisodes
    included: Bool
    features: FeatureMap


def plant(spec: LoopSpec, canaries: int, ordinary: int, seed: int) -> Planted:
    """Make the people of an audit; everyone has ``privacy.episodes_per_person`` episodes."""
    rng = np.random.default_rng([seed, canaries, ordinary])
    included = rng.random(canaries) < 0.5
    width = ORDINARY + canaries
    each = spec.privacy.episodes_per_person
    taken = np.flatnonzero(included)
    people = ordinary + len(taken)
    person = np.repeat(np.arange(people), each)
    context = np.zeros((len(person), width), dtype=np.float32)
    usual = person < ordinary
    context[usual, :ORDINARY] = rng.uniform(-1.0, 1.0, (int(usual.sum()), ORDINARY))
    context[np.flatnonzero(~usual), ORDINARY + np.repeat(taken, each)] = 1.0
    action = np.where(usual, rng.integers(0, len(spec.actions), len(person)), 0)
    signals = _signals(spec, usual, rng)
    episodes = EncodedEpisodes(
        episode_id=np.array([f"{row}" for row in range(len(person))], dtype=np.str_),
        person=person,
        people=np.array([f"{index:064x}" for index in range(people)], dtype=np.str_),
        context=context,
        interacting=np.zeros(width, dtype=np.bool_),
        action=action,
        mask=np.ones((len(person), len(spec.actions)), dtype=np.bool_),
        propensity=np.full(len(person), 1.0 / len(spec.actions)),
        reward=np.where(usual, rng.uniform(-1.0, 1.0, len(person)), 1.0),
        signals=signals,
        holdout=np.zeros(len(person), dtype=np.bool_),
        comparison=np.zeros(len(person), dtype=np.bool_),
        timestamp=np.arange(len(person), dtype=np.float64),
        encoder="audit",
    )
    return Planted(episodes, included, _features(spec, canaries))


def audit_fit(
    release: str,
    fit: Fit,
    spec: LoopSpec,
    planted: Planted,
    mechanism: Mechanism,
    noise_seed: bytes,
) -> AuditResult:
    """Run the fit on the planted people and judge it against the loop's epsilon and delta.

    Args:
        release: what is audited.
        fit: the shipped fit.
        spec: the loop; ``privacy.epsilon`` and ``delta`` are what the mechanism claims to cost.
        planted: the people.
        mechanism: what was paid for.
        noise_seed: 32 bytes.
    """
    privacy, features = spec.privacy, planted.features
    sampled = mechanism.sampling_rate if isinstance(mechanism, SubsampledGaussianMechanism) else 1.0
    deviation = LOGIT_NOISE / GAIN
    response = noise_response(mechanism.steps)
    noise_of_a_rate = mechanism.sigma * mechanism.clip * float(np.linalg.norm(response))
    rate = deviation * sampled * privacy.people_expected / noise_of_a_rate
    people = gather(planted.episodes, people_of(planted.episodes), privacy.episodes_per_person)

    def scores(terms: Mechanism) -> Float:
        fitted = fit(
            spec,
            features,
            people,
            unflatten(features, np.zeros(features.parameters)),
            terms,
            rate,
            SealedNoise(noise_seed, "audit"),
        )
        return fitted.shared[1 + ORDINARY : 1 + ORDINARY + len(planted.included)]

    paid = rate * mechanism.clip / privacy.people_expected * float(response.sum())
    quiet = scores(replace(mechanism, sigma=QUIET * mechanism.sigma))
    return judge(
        release,
        scores(mechanism),
        planted.included,
        deviation,
        Shift(
            mean_shift(quiet, planted.included) / paid,
            SHIFT_TOLERANCE + _of_sampling(sampled, response, int(planted.included.sum())),
        ),
        privacy.epsilon,
        privacy.delta,
    )


def _of_sampling(rate: float, response: Float, taken: int) -> float:
    """Four standard deviations of the mean shift's ratio, where each step takes a person by chance."""
    of_one = math.sqrt((1.0 - rate) / rate * float(response @ response)) / float(response.sum())
    return 4.0 * of_one / math.sqrt(taken)


def _signals(spec: LoopSpec, usual: Bool, rng: np.random.Generator) -> Float:
    """Anything within its range for ordinary people; canaries answer the first type alone, at its top."""
    low = np.array([-1.0 if s.two_sided else s.low for s in spec.signals])
    high = np.array([1.0 if s.two_sided else s.high for s in spec.signals])
    signals: Float = rng.uniform(low, high, (len(usual), len(spec.signals)))
    signals[~usual] = np.nan
    signals[~usual, 0] = high[0]
    return signals


def _features(spec: LoopSpec, canaries: int) -> FeatureMap:
    """Every dimension among those that all wide heads share: one weight each."""
    width = ORDINARY + canaries
    gain = np.ones(width)
    gain[ORDINARY:] = GAIN / CONTEXT_SCALE
    nothing = np.zeros((0, width))
    return FeatureMap(
        kinds=np.array([KINDS.index(action.kind) for action in spec.actions], dtype=np.int64),
        signals=len(spec.signals),
        presences=len(missing_types(spec)),
        context=np.diag(gain),
        own=nothing,
        interacting=nothing,
        moving=np.zeros(0, dtype=np.int64),
        history=None,
        by_action=False,
        described=np.eye(len(spec.actions)),
    )
