"""One decision each for n people: what is seen, chosen and answered, and the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population import evidence as signals
from synthetic.population.archetypes import COMES, HOURS_PER_PART
from synthetic.population.behaviour import Policy
from synthetic.population.catalogue import HISTORY
from synthetic.population.dynamics import MoodDraws, end_chance, move, rest
from synthetic.population.emission import Persons, WideContexts, emit
from synthetic.population.evidence import Evidence
from synthetic.population.responses import Responses
from synthetic.population.scripts import Accounts
from synthetic.population.state import Hidden


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where n people stand between decisions.

    Attributes:
        mood: (n, 4) levels. tired: (n, 3).
        past_action, past_reward, past_time: (n, 10) the last decisions, newest last; -1, NaN and 0
            where there are fewer.
    """

    mood: Int
    tired: Bool
    past_action: Int
    past_reward: Float
    past_time: Int

    @classmethod
    def new(cls, kind: Int, draws: MoodDraws) -> Standing:
        """People who have not been decided for: moods at rest, tired of nothing, no history."""
        n = len(kind)
        return cls(
            mood=rest(kind, draws.rest),
            tired=np.zeros(draws.tired.shape, dtype=np.bool_),
            past_action=np.full((n, HISTORY), -1, dtype=np.int64),
            past_reward=np.full((n, HISTORY), np.nan),
            past_time=np.zeros((n, HISTORY), dtype=np.int64),
        )

    def known_rewards(self, timestamp: Int, closes_after: int) -> Float:
        """(n, 10) past rewards whose episode has closed by then; NaN otherwise."""
        closed = self.past_time + closes_after <= timestamp[:, None]
        return np.where(closed, self.past_reward, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """n decisions and the truth behind them.

    Attributes:
        timestamp: (n,) seconds since the epoch, UTC.
        contexts: what the product sees. valid: (n, A). propensities: (n, A).
        action: (n,) index into the catalogue. partners: (n, 3) archetypes of those met.
        evidence: signals. signals: (n, 3) their means by the loop's definition, NaN where missing.
        reward: (n,) realised by the loop's definition once closed.
        ended: (n,) True where the person left after the decision.
        hidden: the state. expected_reward: (n, A) true, valid or not.
    """

    timestamp: Int
    contexts: WideContexts
    valid: Bool
    propensities: Float
    action: Int
    partners: Int
    evidence: Evidence
    signals: Float
    reward: Float
    ended: Bool
    hidden: Hidden
    expected_reward: Float

    def __len__(self) -> int:
        return len(self.action)

    @property
    def propensity(self) -> Float:
        """(n,) of the action taken."""
        return np.asarray(self.propensities[np.arange(len(self)), self.action])

    @property
    def value(self) -> float:
        """Mean true expected reward of the policy that decided, at these states."""
        return float((self.propensities * self.expected_reward).sum(axis=1).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Chance:
    """Independent generators of one step, one per concern: another policy changes no other draw."""

    circumstances: np.random.Generator
    sight: np.random.Generator
    choice: np.random.Generator
    answer: np.random.Generator
    change: np.random.Generator

    @classmethod
    def of(cls, *entropy: int) -> Chance:
        return cls(*(np.random.default_rng([*entropy, concern]) for concern in range(5)))


def parts_and_seconds(
    archetype: Int, rng: np.random.Generator, comes: Float = COMES
) -> tuple[Int, Int]:
    """((n,) part of the day, (n,) second of the day) of n visits; ``comes`` (6, 4) are the chances of
    the parts."""
    n = len(archetype)
    part = (rng.random((n, 1)) >= comes[archetype].cumsum(axis=1)[:, :-1]).sum(axis=1)
    return part, part * HOURS_PER_PART * 3_600 + rng.integers(0, HOURS_PER_PART * 3_600, n)


def decide(
    responses: Responses,
    persons: Persons,
    standing: Standing,
    part: Int,
    timestamp: Int,
    partners: Int,
    policy: Policy,
    chance: Chance,
    accounts: Accounts | None = None,
) -> tuple[Decisions, Standing]:
    """Take one decision for each of n people.

    Args:
        partners: (n, 3) archetypes of those whom a pairing would bring.
        accounts: who answers by script, or never leaves; None: everybody answers as they feel.

    Returns:
        The decisions, and where everyone stands after them, those who left included.

    Raises:
        ShouldFixArgument: the policy's answer is no distribution over the valid actions.
    """
    loop, closes = responses.loop, responses.loop.reward.closes_after_seconds
    hidden = Hidden(persons.kind, standing.mood, standing.tired, part)
    known = standing.known_rewards(timestamp, closes)
    contexts = emit(hidden, persons, timestamp, standing.past_action, known, chance.sight)
    valid = responses.valid(hidden)
    spot = chance.choice.random(len(persons))
    propensities = policy(contexts, valid, chance.choice)
    require_policy(propensities, valid)
    action = choose(propensities, spot)
    chances = responses.chances_with(hidden, action, partners)
    evidence = signals.draw(
        chances,
        action,
        closes,
        responses.disturbance,
        chance.answer,
        responses.domain.present,
    )
    if accounts is not None:
        evidence = accounts.answered(evidence, action, responses.domain.actions)
    means = signals.signal_means(loop, len(action), evidence)
    reward = signals.realised_reward(loop, means)
    expected = responses.expected_reward(hidden)
    leaving = end_chance(expected[np.arange(len(action)), action])
    ended = chance.change.random(len(action)) < leaving
    if accounts is not None:
        ended &= ~accounts.stays
    draws = MoodDraws.of(len(action), chance.change)
    mood, tired = move(hidden, action, partners, draws, responses.domain)
    decisions = Decisions(
        timestamp=timestamp,
        contexts=contexts,
        valid=valid,
        propensities=propensities,
        action=action,
        partners=partners,
        evidence=evidence,
        signals=means,
        reward=reward,
        ended=ended,
        hidden=hidden,
        expected_reward=expected,
    )
    after = Standing(
        mood=mood,
        tired=tired,
        past_action=_appended(standing.past_action, action),
        past_reward=_appended(standing.past_reward, np.round(reward, 4)),
        past_time=_appended(standing.past_time, timestamp),
    )
    return decisions, after


def choose(propensities: Float, spot: Float) -> Int:
    """(n,) actions drawn from (n, A) propensities by uniforms (n,)."""
    ceilings = propensities.cumsum(axis=1)
    return np.asarray((spot[:, None] * ceilings[:, -1:] >= ceilings).sum(axis=1))


def require_policy(propensities: Float, valid: Bool) -> None:
    """Refuse what is no distribution over the valid actions."""
    if propensities.shape != valid.shape:
        raise ShouldFixArgument(
            f"The policy gave propensities of shape {propensities.shape}, not {valid.shape}.",
            f"Give one probability for each of the {valid.shape[1]} actions of every decision.",
        )
    wrong = np.abs(propensities.sum(axis=1) - 1) > 1e-5
    wrong |= (propensities < 0).any(axis=1) | ~np.isfinite(propensities).all(axis=1)
    wrong |= ((propensities > 0) & ~valid).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ShouldFixArgument(
            f"The policy's propensities {propensities[row]} of decision {row} are no distribution over "
            f"its valid actions {valid[row].astype(int)}.",
            "Apply the mask and normalise.",
        )


def _appended(past: NDArray[Any], newest: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([past[:, 1:], newest[:, None]], axis=1)
