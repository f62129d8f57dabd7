"""What else could have decided the same days over the same people, each living in a world of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np

from bench.learning.places import HOME, place
from bench.learning.systems import SYSTEMS as LEARNERS
from bench.learning.systems import Terms
from bench.loop.bandit import Bandit, Log
from bench.loop.life import Worth, worth_of
from bench.loop.terms import LoopTerms, end_of
from bench.private.population_log import encode_wide
from everloop.contracts.datasets import Bool, Float
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from rl.runtime import load_policy
from synthetic.population import (
    DayOfDecisions,
    PopulationSpec,
    Truth,
    Visitors,
    WideContexts,
    logging_policy,
    uniform_policy,
)
from synthetic.population.truth import at

DISCOUNT: Final = 0.9
"""How far ahead the optimum looks."""
NO_LEARNING, UNIFORM = "no learning", "uniform"
BANDIT, BANDIT_ALONE = "vowpal wabbit", "vowpal wabbit, own log"
ON_TRUTH, OPTIMUM = "ppo on the truth", "optimum"
PEERS: Final = (NO_LEARNING, UNIFORM, BANDIT, BANDIT_ALONE, ON_TRUTH, OPTIMUM)


class Peer(Protocol):
    """What decides days."""

    def greet(self, visitors: Visitors) -> None:
        """Who comes, before they are decided for."""

    def decide(self, contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:
        """(n, A) propensities."""

    def learn(self, day: DayOfDecisions, loops_log: Log | None) -> None:
        """In the night after a day; ``loops_log``: what the loop itself has logged and closed by then."""


class Fixed:
    """A policy that learns nothing."""

    def __init__(self, policy: Callable[[WideContexts, Bool, np.random.Generator], Float]) -> None:
        self._policy = policy

    def greet(self, visitors: Visitors) -> None:
        """Nothing to note."""

    def decide(self, contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:
        return self._policy(contexts, valid, rng)

    def learn(self, day: DayOfDecisions, loops_log: Log | None) -> None:
        """Nothing to learn."""


class Optimal:
    """The best policy, which sees the hidden state."""

    def __init__(self, terms: LoopTerms) -> None:
        self._best = best_policy(terms.spec)
        self._seen: Visitors | None = None

    def greet(self, visitors: Visitors) -> None:
        self._seen = visitors

    def decide(self, contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:
        if self._seen is None:
            raise RuntimeError("The optimum was asked before it had met anybody.")
        return at(self._best, self._seen.hidden)

    def learn(self, day: DayOfDecisions, loops_log: Log | None) -> None:
        """Nothing is left to learn."""


class Learning:
    """Vowpal Wabbit, after as many days of the rules as the loop needs for its first night."""

    def __init__(self, terms: LoopTerms, own: bool) -> None:
        self._terms, self._own = terms, own
        self._bandit = Bandit(terms.spec, terms.seed)
        self._log: Log | None = None
        self._learned = False

    def greet(self, visitors: Visitors) -> None:
        """Nothing to note."""

    def decide(self, contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:
        if not self._learned:
            return logging_policy(contexts, valid, rng)
        return self._bandit(encode_wide(self._terms.spec, contexts), valid)

    def learn(self, day: DayOfDecisions, loops_log: Log | None) -> None:
        spec = self._terms.spec
        mine = log_of(spec, day)
        self._log = mine if self._log is None else self._log.joined(mine)
        known = self._log if self._own else loops_log
        if known is None:
            raise RuntimeError("The loop's log is missing.")
        known = known.until(end_of(day.date).timestamp())
        if len(known.action) >= spec.thresholds.min_episodes:
            self._bandit.learn(known)
            self._learned = True


def log_of(spec: LoopSpec, day: DayOfDecisions) -> Log:
    """A day as a bandit learns from it."""
    made = day.decisions
    return Log(
        encode_wide(spec, made.contexts),
        made.valid,
        made.action,
        made.propensity,
        made.reward,
        made.timestamp + spec.reward.closes_after_seconds,
    )


@lru_cache(maxsize=2)
def best_policy(spec: LoopSpec) -> Float:
    """(48, 648, 4, A) of the people as they arrive."""
    return truth_of(spec).best_policy()


def truth_of(spec: LoopSpec) -> Truth:
    """Of the people as they arrive."""
    people = PopulationSpec()
    return Truth(people.responses(spec, people.start), DISCOUNT, people.burdened_share)


def on_truth(terms: LoopTerms) -> Peer:
    """PPO that practised on the true people; served without exploration."""
    folder = LEARNERS[ON_TRUTH](Terms(ON_TRUTH, HOME, 0, 0, terms.seed))
    policy = load_policy(folder / "policy.onnx", spec=place(HOME).loop)
    shutil.rmtree(folder)

    def decide(contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:  # noqa: ARG001
        return policy.act(States(encode_wide(terms.spec, contexts), valid), 0.0).propensity

    return Fixed(decide)


def made(name: str, terms: LoopTerms) -> Peer:
    """A peer by name."""
    if name == NO_LEARNING:
        return Fixed(logging_policy)
    if name == UNIFORM:
        return Fixed(uniform_policy)
    if name == OPTIMUM:
        return Optimal(terms)
    if name == ON_TRUTH:
        return on_truth(terms)
    return Learning(terms, own=name == BANDIT_ALONE)


def live(name: str, terms: LoopTerms, loops: Sequence[DayOfDecisions]) -> list[dict[str, Any]]:
    """The days under a peer; a row each. ``loops``: the loop's own days, for who learns from them."""
    peer, population = made(name, terms), terms.population()
    rows, log = [], None
    for number in range(1, terms.days + 1):
        day = population.day(terms.date_of(number), peer.decide, peer.greet)
        found: Worth = worth_of(day)
        rows.append({"day": number, **asdict(found), "people": population.present})
        if name == BANDIT:
            theirs = log_of(terms.spec, loops[number - 1])
            log = theirs if log is None else log.joined(theirs)
        if number < terms.days:
            peer.learn(day, log)
    return rows
