"""The truth behind the ``UserModel`` port: people of the population who answer as they truly do.

A policy that practises on it meets what it will be served with: the hidden state stays here, found by
the context that it was seen through (128 noisy numbers: no two are alike), and every answer draws from
the population's own laws. Nothing of it is private, and nothing of it could ever be released.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from bench.learning.places import Place
from bench.private.population_log import encode_wide
from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.simulation import ProfileBatch, Responses
from rl.encoders.context import layout
from synthetic.population import evidence as signals
from synthetic.population.archetypes import ARCHETYPE_OF
from synthetic.population.cohort import arrive
from synthetic.population.decisions import Standing, parts_and_seconds
from synthetic.population.dynamics import MoodDraws, end_chance, move
from synthetic.population.emission import Persons, emit
from synthetic.population.journeys import partners_from
from synthetic.population.state import Hidden

_MIDNIGHT = 1_767_225_600
"""2026-01-01."""
_COMES_BACK = 0.5
_WITHIN_DAYS = 6


@dataclass(frozen=True, slots=True, eq=False)
class _Standing:
    """n people before a decision: what is their own, where they stand, and when it is."""

    persons: Persons
    standing: Standing
    part: Int
    time: Int

    def where(self, rows: Int) -> _Standing:
        standing = Standing(*(getattr(self.standing, f.name)[rows] for f in fields(Standing)))
        return _Standing(self.persons.where(rows), standing, self.part[rows], self.time[rows])

    def joined(self, others: _Standing) -> _Standing:
        standing = Standing(
            *(
                np.concatenate([getattr(self.standing, f.name), getattr(others.standing, f.name)])
                for f in fields(Standing)
            )
        )
        return _Standing(
            self.persons.joined(others.persons),
            standing,
            np.concatenate([self.part, others.part]),
            np.concatenate([self.time, others.time]),
        )

    @property
    def hidden(self) -> Hidden:
        return Hidden(self.persons.kind, self.standing.mood, self.standing.tired, self.part)


class TrueModel:
    """``UserModel`` of a place. Contexts that it did not show itself are refused by ``KeyError``.

    Args:
        place: whose truth.
        people: how many new people profiles are of.
        seed: of who they are.
    """

    parameters = 0

    def __init__(self, place: Place, people: int, seed: int) -> None:
        self._place, self._responses = place, place.responses
        rng = np.random.default_rng([seed, 17])
        persons = arrive(people, place.spec.burdened_group, rng, self._responses.mix)
        standing = Standing.new(persons.kind, MoodDraws.of(people, rng))
        part, second = parts_and_seconds(ARCHETYPE_OF[persons.kind], rng)
        self._people = _Standing(persons, standing, part, _MIDNIGHT + second)
        context = self._seen(self._people, rng)
        self.release_id = f"{seed:08x}-truth-of-{place.name}"
        self.profiles = ProfileBatch(
            context=context,
            mask=self._responses.valid(self._people.hidden),
            weight=np.ones(people),
            encoder=layout(place.loop).encoder,
            release_id=self.release_id,
        )
        self._fixed = self._placed(context, 0)
        self._moving: dict[bytes, int] = {}
        self._met = self._people.where(np.arange(0))

    def expected_signals(
        self, context: Float32, action: Int, slate: Float32 | None = None
    ) -> Float:
        """See ``UserModel``; partners are those that anybody may meet."""
        means = self._responses.means(self._of(context).hidden)
        means[..., 1:] = 2 * means[..., 1:] - 1
        return np.asarray(means[np.arange(len(action)), action])

    def expected_reward(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """See ``UserModel``."""
        reward = self._responses.expected_reward(self._of(context).hidden)
        return np.asarray(reward[np.arange(len(action)), action])

    def acceptance(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """See ``UserModel``."""
        accepted = self._responses.acceptance(self._of(context).hidden)
        return np.asarray(accepted[np.arange(len(action)), action])

    def end_chance(self, context: Float32, action: Int) -> Float:
        """See ``UserModel``."""
        return end_chance(self.expected_reward(context, action))

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        """See ``UserModel``; forgets everyone who is not among these rows any more."""
        before, n = self._of(context), len(action)
        laws, loop = self._responses, self._responses.loop
        partners = partners_from(laws, n, rng)
        chances = laws.chances_with(before.hidden, action, partners)
        closes = loop.reward.closes_after_seconds
        drawn = signals.draw(chances, action, closes, laws.disturbance, rng, laws.domain.present)
        means = signals.signal_means(loop, n, drawn)
        reward = signals.realised_reward(loop, means)
        expected = laws.expected_reward(before.hidden)[np.arange(n), action]
        ended = rng.random(n) < end_chance(expected)
        mood, tired = move(before.hidden, action, partners, MoodDraws.of(n, rng), laws.domain)
        old = before.standing
        standing = Standing(
            mood,
            tired,
            np.concatenate([old.past_action[:, 1:], action[:, None]], axis=1),
            np.concatenate([old.past_reward[:, 1:], np.round(reward, 4)[:, None]], axis=1),
            np.concatenate([old.past_time[:, 1:], before.time[:, None]], axis=1),
        )
        part, second = parts_and_seconds(ARCHETYPE_OF[before.persons.kind], rng)
        days = np.minimum(rng.geometric(_COMES_BACK, n), _WITHIN_DAYS)
        midnight = before.time - before.time % 86_400
        after = _Standing(before.persons, standing, part, midnight + days * 86_400 + second)
        following = self._seen(after, rng)
        self._met, self._moving = after, self._placed(following, len(self._people.part))
        return Responses(
            signals=np.where(np.isnan(means), 0.0, means),
            reward=reward,
            context=following,
            ended=ended,
            present=~np.isnan(means),
        )

    def _seen(self, people: _Standing, rng: np.random.Generator) -> Float32:
        """(n, d) encoded contexts as the product would see them."""
        closes = self._responses.loop.reward.closes_after_seconds
        known = people.standing.known_rewards(people.time, closes)
        past = people.standing.past_action
        wide = emit(people.hidden, people.persons, people.time, past, known, rng)
        return encode_wide(self._place.loop, wide)

    def _placed(self, context: Float32, first: int) -> dict[bytes, int]:
        return {row.tobytes(): first + number for number, row in enumerate(context)}

    def _of(self, context: Float32) -> _Standing:
        """Who is seen so."""
        keys = [row.tobytes() for row in np.ascontiguousarray(context, dtype=np.float32)]
        rows = [self._moving[key] if key in self._moving else self._fixed[key] for key in keys]
        return self._people.joined(self._met).where(np.array(rows, dtype=np.int64))
