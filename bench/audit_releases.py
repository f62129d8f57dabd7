"""The releases of one noisy sum, as an audit makes them: profiles and quality figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import GaussianMechanism
from everloop.contracts.simulation import ProfileBatch, Responses
from rl.encoders import encode_context, layout
from rl.encoders.context import encoder_of
from synthetic.audit.repeated import Make
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes, gather, people_of
from synthetic.population import Population, logging_policy
from synthetic.profiles.persona_space import persona_space
from synthetic.profiles.plan import profile_plan
from synthetic.profiles.statistics import ProfileBlocks
from synthetic.quality.published_vectors import ruler_of

PEOPLE = 40
DAYS = 24
FIRST_DAY = date(2026, 1, 1)
LOUDEST = 20
"""Episodes of the planted person, all alike: their vector is as long as one may be."""


def people_and_one(loop: LoopSpec, seed: int) -> tuple[EncodedEpisodes, str]:
    """(episodes of a small population, pseudonym of one of them who is all in one place)."""
    population = Population(loop, PEOPLE, seed)
    days = [population.day(FIRST_DAY + timedelta(days=d), logging_policy) for d in range(DAYS)]
    users = [user for day in days for user in day.user_ids]
    states = encode_context(loop, [c for day in days for c in day.decisions.contexts.snapshots()])
    action = np.concatenate([day.decisions.action for day in days])
    reward = np.concatenate([day.decisions.reward for day in days])
    alike = np.concatenate([np.arange(len(users)), np.zeros(LOUDEST, dtype=np.int64)])
    named = [hashlib.sha256(user.encode()).hexdigest() for user in users]
    named += ["f" * 64] * LOUDEST
    people, person = np.unique(np.array(named, dtype=np.str_), return_inverse=True)
    n = len(alike)
    episodes = EncodedEpisodes(
        episode_id=np.arange(n).astype(np.str_),
        person=person.astype(np.int64),
        people=people,
        context=states[alike],
        interacting=encoder_of(loop).interacting,
        action=action[alike],
        mask=np.ones((n, len(loop.actions)), dtype=np.bool_),
        propensity=np.full(n, 1.0 / len(loop.actions)),
        reward=reward[alike],
        signals=np.zeros((n, len(loop.signals))),
        holdout=np.zeros(n, dtype=np.bool_),
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=np.arange(n, dtype=np.float64),
        encoder=layout(loop).encoder,
    )
    return episodes, "f" * 64


def _both(loop: LoopSpec, seed: int) -> Callable[[bool], PeopleEpisodes]:
    """The people with the planted one (True) or without."""
    episodes, planted = people_and_one(loop, seed)
    everyone = people_of(episodes)
    others = tuple(person for person in everyone if person != planted)
    known = {
        True: gather(episodes, everyone, loop.privacy.episodes_per_person),
        False: gather(episodes, others, loop.privacy.episodes_per_person),
    }
    return known.__getitem__


def profiles(
    sums: Callable[..., Float], loop: LoopSpec, mechanism: GaussianMechanism, seed: int
) -> Make:
    """``synthetic.profiles.statistics.noisy_sums`` of all its blocks."""
    own, people = layout(loop), _both(loop, seed)
    plan = profile_plan(loop, own, mechanism.mu_squared)
    blocks = ProfileBlocks(own, plan, persona_space(loop, own))

    def make(included: bool, noise: Noise) -> Float:
        expected = loop.privacy.people_expected
        released = sums(blocks, people(included), mechanism, expected, noise)
        return np.asarray(released * blocks.roots * expected, dtype=np.float64)

    return make


def quality(
    sums: Callable[..., Float], loop: LoopSpec, mechanism: GaussianMechanism, seed: int
) -> Make:
    """``synthetic.quality.published_vectors.noisy_sums`` about a model that everybody knows."""
    own, people = layout(loop), _both(loop, seed)
    model = KnownModel(own.width, len(loop.actions))
    shown = people(False).episodes.context[: 2 * PEOPLE]
    made = ProfileBatch(
        context=shown,
        mask=np.ones((len(shown), len(loop.actions)), dtype=np.bool_),
        weight=np.ones(len(shown)),
        encoder=own.encoder,
        release_id="known",
    )
    ruler = ruler_of(own, model, made)
    deviation, expected = mechanism.sigma * mechanism.clip, float(loop.privacy.people_expected)

    def make(included: bool, noise: Noise) -> Float:
        given = people(included)
        return sums(loop, own, model, ruler, given, (deviation, expected), noise).sums * expected

    return make


@dataclass(frozen=True)
class KnownModel:
    """A user model whose answers follow from its arguments by constants: no release, no noise."""

    width: int
    actions: int
    release_id: str = "known"
    parameters: int = field(default=0)

    def acceptance(self, context: Float32, action: Int) -> Float:
        """(n,) in (0, 1)."""
        direction = np.cos(np.arange(self.width))
        lean = context.astype(np.float64) @ direction + np.sin(1.0 + action)
        return np.asarray(1.0 / (1.0 + np.exp(-lean)))

    def expected_reward(self, context: Float32, action: Int) -> Float:
        """(n,) in (-1, 1)."""
        return 2.0 * self.acceptance(context, action) - 1.0

    def expected_signals(self, context: Float32, action: Int) -> Float:
        """(n, 1)."""
        return self.expected_reward(context, action)[:, None]

    def end_chance(self, context: Float32, action: Int) -> Float:
        """(n,)."""
        return 1.0 - self.acceptance(context, action)

    def respond(
        self,
        resting: Float32,
        context: Float32,
        action: Int,
        rng: np.random.Generator,
    ) -> Responses:
        """Its own expectations; everybody stays where they are."""
        reward = self.expected_reward(context, action)
        ended = rng.random(len(action)) < self.end_chance(context, action)
        return Responses(reward[:, None], reward, context, ended)
