"""Constraints on N journeys: each one's clock, what its person met, and what is left of the mask."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, Float32, Int
from rl.constraints.limits import LimitUse
from rl.constraints.rules import Constraints
from rl.environment.clock import Arrivals


class Guard:
    """Follows N journeys. Without limits in the loop it draws nothing: there, time changes nothing.

    Args:
        rules: the loop's constraints.
        arrivals: when decisions come.
        size: N.
        people: how an error calls the people, the profiles' release.
    """

    def __init__(self, rules: Constraints, arrivals: Arrivals, size: int, people: str) -> None:
        self._rules = rules
        self._arrivals = arrivals
        self._people = people
        self._now: Int = np.zeros(size, dtype=np.int64)
        self._use = rules.limits.unused(size)

    def time(self) -> Int | None:
        """(N,) when the next decisions are made; ``None`` where nothing depends on it."""
        return self._now.copy() if self._rules.remembers else None

    def begin(self, which: Bool, rng: np.random.Generator) -> None:
        """Other people start in these (N,) journeys: they met nothing yet."""
        if not self._rules.remembers:
            return
        count = int(which.sum())
        self._now[which] = self._arrivals.first(count, rng)
        unused = self._rules.limits.unused(count)
        self._use.day[which] = unused.day
        self._use.count[which] = unused.count
        self._use.last[which] = unused.last

    def decided(self, action: Int, rng: np.random.Generator) -> None:
        """(N,) actions were taken; time passes until the next decisions."""
        if not self._rules.remembers:
            return
        self._use = self._rules.limits.after(self._use, action, self._now)
        self._now += self._arrivals.gaps(len(self._now), rng)

    def mask(self, valid: Bool, context: Float32, person: Int, rows: Int | slice) -> Bool:
        """(n, A) what is left of the valid actions of n ``rows`` now.

        Raises:
            ShouldFixArgument: nothing is, naming the profile.
        """
        use = LimitUse(self._use.day[rows], self._use.count[rows], self._use.last[rows])
        left = self._rules.allowed(valid, context, use, self._now[rows])
        if not left.any(axis=1).all():
            row = int(np.argmin(left.any(axis=1)))
            who = f"Profile {int(person[row])} of {self._people}"
            raise self._rules.nothing_left(who, valid[row])
        return left
