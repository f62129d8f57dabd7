"""Candidates that must not ship, each bad in its own way and made from what is true of the people.

They say that they were learned from the night's own private releases, so that provenance and budget alone
stop none of them. What a good one would do is the least-squares fit of the true expected reward on the
encoded state, one line an action.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from bench.loop.linear import NEVER, Linear
from bench.private.population_log import encode_wide, encoded_emotion
from everloop.contracts.datasets import Float
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders.context import layout
from synthetic.population import Population, PopulationSpec, logging_policy
from synthetic.population.archetypes import AGE_GROUPS, PLANE
from synthetic.population.emission import BEHIND

DECIDED: Final = 40.0
"""Logits a unit of reward: an action that is worth .1 more is taken fifty times as often."""
ALWAYS: Final = 1e3
"""Logits of an action that is taken whatever else would be."""
TRAIT_BET: Final = 1.0
"""How much more than its due the drift-victim makes of traits."""
_PEOPLE: Final = 6_000
_RIDGE: Final = 1.0
NEGLECTED: Final = "over_64"


@dataclass(frozen=True, slots=True)
class Planted:
    """A bad candidate.

    Attributes:
        name: as tables say it. why: what is bad about it.
        make: (loop, edge between this week and the next) -> the policy.
        turned: radians by which tastes turn on the first day of its trial.
    """

    name: str
    why: str
    make: Callable[[LoopSpec, float], Linear]
    turned: float = 0.0


@lru_cache(maxsize=2)
def fitted(spec: LoopSpec) -> Linear:
    """The linear policy that is good for most people; DECIDED logits a unit of expected reward."""
    population = Population(spec, _PEOPLE, 5, PopulationSpec(visits_per_day=1.0))
    day = population.day(PopulationSpec().start, logging_policy).decisions
    context = encode_wide(spec, day.contexts).astype(np.float64)
    seen = np.concatenate([context, np.ones((len(context), 1))], axis=1)
    penalty = _RIDGE * np.eye(seen.shape[1])
    penalty[-1, -1] = 0.0
    found = np.linalg.solve(seen.T @ seen + penalty, seen.T @ day.expected_reward)
    return Linear(DECIDED * found[:-1], DECIDED * found[-1])


def worse(spec: LoopSpec, _edge: float) -> Linear:
    """Takes what suits least."""
    good = fitted(spec)
    return replace(good, weights=-good.weights, bias=-good.bias)


def unfair(spec: LoopSpec, _edge: float) -> Linear:
    """Good for everybody but one age group, of whom it takes the same action always: what suits people
    least on the whole and is open to all."""
    good = fitted(spec)
    block = next(b for b in layout(spec).blocks if b.field == "age_group" and b.kind == "category")
    open_to_all = [place for place, action in enumerate(spec.actions) if not action.people]
    least = min(open_to_all, key=lambda place: good.bias[place])
    weights = good.weights.copy()
    weights[block.start + AGE_GROUPS.index(NEGLECTED), least] += ALWAYS
    return replace(good, weights=weights)


def nan_now(spec: LoopSpec, _edge: float) -> Linear:
    """Answers NaN to every state."""
    return replace(fitted(spec), edge=-NEVER, nan=True)


def nan_later(spec: LoopSpec, edge: float) -> Linear:
    """Good until the next week begins, NaN from then on: nothing that was logged shows it."""
    return replace(fitted(spec), watched=week(spec), edge=edge, nan=True)


def collapsed_now(spec: LoopSpec, _edge: float) -> Linear:
    """Takes one action, the best on the whole, whatever it sees."""
    good = fitted(spec)
    weights = np.zeros_like(good.weights)
    bias = np.zeros_like(good.bias)
    bias[int(good.bias.argmax())] = ALWAYS
    return Linear(weights, bias)


def collapsed_later(spec: LoopSpec, edge: float) -> Linear:
    """Good until the next week begins, one action from then on."""
    good = fitted(spec)
    return replace(
        good, watched=week(spec), edge=edge, collapses_to=spec.action_ids.index("hive-walk")
    )


def drift_victim(spec: LoopSpec, _edge: float) -> Linear:
    """Bets on the traits that people show, whose meaning turns round on the day that they meet it."""
    return betting(spec, TRAIT_BET)


def betting(spec: LoopSpec, bet: float) -> Linear:
    """The good policy with ``bet`` times more on top of what it makes of traits; -1: it heeds none."""
    good = fitted(spec)
    traits = trait_reading(spec)
    block = next(b for b in layout(spec).blocks if b.field == "emotion" and b.kind != "missing")
    weights = good.weights.copy()
    part = weights[block.dimensions]
    onto = traits @ np.linalg.pinv(traits)
    weights[block.dimensions] = part + bet * (onto @ part)
    return replace(good, weights=weights)


PLANTED: Final = (
    Planted("worse", "takes what suits least", worse),
    Planted("unfair", f"good for all but {NEGLECTED}", unfair),
    Planted("NaN", "answers NaN", nan_now),
    Planted("NaN later", "answers NaN from next week on", nan_later),
    Planted("collapsed", "takes one action always", collapsed_now),
    Planted("collapsed later", "one action from next week on", collapsed_later),
    Planted("drift-victim", "tastes turn as people meet it", drift_victim, np.pi),
)


def week(spec: LoopSpec) -> Float:
    """(d,) reads the sine of the week of the year."""
    block = next(b for b in layout(spec).blocks if b.field == "week" and b.kind == "cycle")
    found = np.zeros(layout(spec).width)
    found[block.start] = 1.0
    return found


def edge_after(spec: LoopSpec, number: int) -> float:
    """Between an ISO week's sine and the next one's, in the first quarter of the year."""
    period = spec.field("week").period or 53.0
    return float(np.sin(2 * np.pi * (number + 0.5) / period))


def trait_reading(spec: LoopSpec) -> Float:
    """(k, 2) directions of the encoded emotion in which the two traits move it."""
    unit = np.eye(BEHIND)[-PLANE.shape[1] :]
    return encoded_emotion(spec, unit).T - encoded_emotion(spec, np.zeros((1, BEHIND))).T
