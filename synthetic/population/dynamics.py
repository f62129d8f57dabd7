"""What a decision does to a person: moods move, kinds of action wear out, and some people leave.

After action a every mood takes one step in the direction of the domain's ``effect`` with that
probability, and then, with probability ``RESETTLES`` of the temperament, is drawn anew from the
person's resting law. A pairing eases loneliness with a probability that grows with the
compatibility of the two. A kind of action tires with probability ``TIRES`` when it is taken and
recovers with ``RECOVERS`` when it is not.
A person leaves for good after the decision with the chance

    LEAVES + LEAVES_MORE sigmoid(-STEEP (r - EVEN)),

r the expected reward of what was done to them: who is treated well stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from everloop.contracts.datasets import Bool, Float, Int
from synthetic.population.archetypes import (
    ARCHETYPE_OF,
    COMPATIBILITY,
    SENSITIVE_OF,
    TYPES,
)
from synthetic.population.catalogue import KINDS, MOST_PARTNERS
from synthetic.population.domain import COMPANION, Domain
from synthetic.population.state import CARRIED, LEVELS, MOODS, Hidden, tired_states

LONELINESS: Final = MOODS.index("loneliness")

RESETTLES: Final[Float] = np.array([0.25, 0.45])
"""(2,) by temperament: steady moods last longer."""
_LEANS = np.array(
    [
        # tension loneliness energy overload
        [-0.2, 0.0, 0.5, -0.1],
        [0.4, -0.3, 0.0, 0.5],
        [-0.1, 0.5, 0.2, -0.2],
        [0.5, -0.1, 0.4, 0.4],
        [0.0, 0.2, -0.2, 0.2],
        [-0.2, 0.1, -0.4, 0.0],
    ]
)
_SENSITIVE_LEANS = np.array([0.5, 0.2, -0.2, 0.2])

TIRES: Final = 0.3
RECOVERS: Final = 0.1

LEAVES: Final = 0.02
LEAVES_MORE: Final = 0.25
STEEP: Final = 6.0
EVEN: Final = 0.0


def _resting() -> Float:
    leans = _LEANS[ARCHETYPE_OF] + SENSITIVE_OF[:, None] * _SENSITIVE_LEANS
    weight = np.exp(leans[:, :, None] * np.array([-1.0, 0.0, 1.0]))
    return np.asarray(weight / weight.sum(axis=2, keepdims=True))


RESTING: Final[Float] = _resting()
"""(48, 4, 3) resting law of every mood's level: new people start from it."""


def end_chance(expected_reward: Float) -> Float:
    """(...) probability of leaving after a decision of that expected reward."""
    return np.asarray(LEAVES + LEAVES_MORE * expit(-STEEP * (expected_reward - EVEN)))


def steps_of(kind: Int, action: Int, partners: Int, domain: Domain = COMPANION) -> Float:
    """(n, 4) signed step probabilities after the action taken with the partners drawn, (n, 3)."""
    effect, met = domain.effect[action].copy(), domain.partners[action]
    meets = np.arange(MOST_PARTNERS) < met[:, None]
    affinity = np.where(meets, COMPATIBILITY[ARCHETYPE_OF[kind][:, None], partners], 0.0)
    effect[:, LONELINESS] -= domain.closer[action] * affinity.sum(axis=1) / np.maximum(met, 1)
    return effect


def mean_steps(partner_mix: Float, domain: Domain = COMPANION) -> Float:
    """(48, A, 4) signed step probabilities, the mean over partners."""
    met = COMPATIBILITY[ARCHETYPE_OF] @ partner_mix
    effect = np.broadcast_to(domain.effect, (TYPES, *domain.effect.shape)).copy()
    effect[:, :, LONELINESS] -= met[:, None] * domain.closer
    return effect


def mood_kernels(partner_mix: Float, domain: Domain = COMPANION) -> Float:
    """(48, A, 4, 3, 3) chance of each next level of each mood from each level."""
    steps = mean_steps(partner_mix, domain)
    size, up = np.abs(steps), steps > 0
    kernel = np.zeros((*steps.shape, LEVELS, LEVELS))
    for start in range(LEVELS):
        for direction in (-1, 1):
            goal = min(max(start + direction, 0), LEVELS - 1)
            kernel[..., start, goal] += np.where(up == (direction == 1), size, 0.0)
        kernel[..., start, start] += 1 - size
    again = RESETTLES[SENSITIVE_OF][:, None, None, None, None]
    return np.asarray((1 - again) * kernel + again * RESTING[:, None, :, None, :])


def tired_kernels(domain: Domain = COMPANION) -> Float:
    """(A, 8, 8) chance of each next tiredness; the same for everybody."""
    before, after = tired_states()[:, None, :], tired_states()[None, :, :]
    kernels = np.ones((len(domain), len(before), len(before)))
    for action, taken in enumerate(domain.kind_of):
        for kind in range(len(KINDS)):
            was, will = before[:, :, kind], after[:, :, kind]
            stays = 1.0 if kind == taken else 1 - RECOVERS
            rises = TIRES if kind == taken else 0.0
            tired = np.where(was, stays, rises)
            kernels[action] *= np.where(will, tired, 1 - tired)
    return kernels


def carried_kernels(kind: int, partner_mix: Float, domain: Domain = COMPANION) -> Float:
    """(A, 648, 648) chance of the next z from each z, of one type of people that stay."""
    moods, tired = mood_kernels(partner_mix, domain)[kind], tired_kernels(domain)
    kernels = []
    for action in range(len(domain)):
        kernel = np.ones((1, 1))
        for mood in range(len(MOODS)):
            kernel = np.kron(kernel, moods[action, mood])
        both = kernel[:, None, :, None] * tired[action][None, :, None, :]
        kernels.append(both.reshape(CARRIED, CARRIED))
    return np.stack(kernels)


def start_law(kind: int) -> Float:
    """(648,) law of z of a new person of a type: moods at rest, tired of nothing."""
    law = np.ones(1)
    for mood in range(len(MOODS)):
        law = np.kron(law, RESTING[kind, mood])
    fresh = np.zeros(2 ** len(KINDS))
    fresh[0] = 1.0
    return np.asarray(np.kron(law, fresh), dtype=np.float64)


def next_feeling(partner_mix: Float, domain: Domain = COMPANION) -> Float:
    """(48, 3, A, 4) mean next mood, in -1..1, from each level of that mood."""
    mean = mood_kernels(partner_mix, domain) @ (np.arange(LEVELS) - 1.0)
    return np.asarray(np.moveaxis(mean, 3, 1))


@dataclass(frozen=True, slots=True, eq=False)
class MoodDraws:
    """Uniforms that decide what becomes of n people: one set per step, whatever was done."""

    step: Float
    resettle: Float
    rest: Float
    tired: Float

    @classmethod
    def of(cls, n: int, rng: np.random.Generator) -> MoodDraws:
        moods = (n, len(MOODS))
        return cls(
            rng.random(moods), rng.random(moods), rng.random(moods), rng.random((n, len(KINDS)))
        )

    def where(self, rows: Int) -> MoodDraws:
        return MoodDraws(self.step[rows], self.resettle[rows], self.rest[rows], self.tired[rows])


def rest(kind: Int, uniform: Float) -> Int:
    """(n, 4) moods drawn from the resting law."""
    return np.asarray((uniform[:, :, None] >= RESTING[kind].cumsum(axis=2)[:, :, :-1]).sum(axis=2))


def move(
    hidden: Hidden, action: Int, partners: Int, draws: MoodDraws, domain: Domain = COMPANION
) -> tuple[Int, Bool]:
    """((n, 4), (n, 3)) moods and tiredness after the action."""
    steps = steps_of(hidden.kind, action, partners, domain)
    moved = hidden.mood + np.where(draws.step < np.abs(steps), np.sign(steps), 0).astype(np.int64)
    moved = np.clip(moved, 0, LEVELS - 1)
    anew = draws.resettle < RESETTLES[SENSITIVE_OF[hidden.kind]][:, None]
    mood = np.where(anew, rest(hidden.kind, draws.rest), moved)
    taken = domain.kind_of[action][:, None] == np.arange(len(KINDS))
    stays = np.where(taken, 1.0, 1 - RECOVERS)
    tired = draws.tired < np.where(hidden.tired, stays, np.where(taken, TIRES, 0.0))
    return mood, tired
