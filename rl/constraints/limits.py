"""Limits per person: so many decisions of some kinds in a UTC day, and a cool-down between two of them.

Times are whole microseconds since the epoch, UTC; a day is ``time // DAY``. A decision that is dated after
``now``, by a clock that runs ahead, counts as one of today and as one of this moment. So whatever clocks
say, the decisions that are dated within a day are never more than ``per_day`` and two of them are never
dated closer than the cool-down, as long as each was decided with the ones before it known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec

SECOND = 1_000_000
"""Microseconds."""
HOUR = 3600 * SECOND
DAY = 24 * HOUR
NEVER = -(2**62)
"""When a decision was made that never was."""
NOTHING = -1
"""Stands for no decision where a person has fewer than others."""
UNDECIDED = -2
"""Stands for a decision whose action isn't known yet: it counts against every limit."""
_NO_LIMIT = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Recent:
    """Recent decisions of n people, at most K of each, in any order.

    Attributes:
        at: (n, K) when they were made, microseconds UTC.
        action: (n, K) indices into the catalogue, ``UNDECIDED`` or ``NOTHING``.
    """

    at: Int
    action: Int

    def __post_init__(self) -> None:
        if self.at.shape != self.action.shape or self.at.ndim != 2:
            raise ShouldFixArgument(
                f"Recent decisions have times {self.at.shape} and actions {self.action.shape}.",
                "Give both as one row per person.",
            )

    @classmethod
    def of(cls, people: Sequence[Sequence[tuple[int, int]]]) -> Recent:
        """From each person's (time, action) pairs."""
        most = max((len(made) for made in people), default=0)
        at = np.full((len(people), most), NEVER, dtype=np.int64)
        action = np.full((len(people), most), NOTHING, dtype=np.int64)
        for row, made in enumerate(people):
            for place, (when, what) in enumerate(made):
                at[row, place], action[row, place] = when, what
        return cls(at, action)


@dataclass(frozen=True, slots=True, eq=False)
class LimitUse:
    """How far n people have used up L limits; all (n, L) int64.

    Attributes:
        day: the last day with a decision that the limit covers.
        count: how many such decisions that day had.
        last: when the last one was made; ``NEVER``.
    """

    day: Int
    count: Int
    last: Int


class Limits:
    """The limits of a loop.

    Attributes:
        covers: (L, A) which actions each limit counts and, once used up, takes away.
        limited: (A,) actions that some limit covers.
    """

    def __init__(self, spec: LoopSpec) -> None:
        declared = spec.constraints.limits
        kinds = [action.kind for action in spec.actions]
        self.covers: Bool = np.array(
            [[kind in limit.kinds for kind in kinds] for limit in declared], dtype=np.bool_
        ).reshape(len(declared), len(kinds))
        self.covers.flags.writeable = False
        self.limited: Bool = np.asarray(self.covers.any(axis=0))
        self.limited.flags.writeable = False
        self._counted = np.ascontiguousarray(self.covers.T)
        self._per_day = np.array(
            [_NO_LIMIT if limit.per_day is None else limit.per_day for limit in declared],
            dtype=np.int64,
        )
        self._cooldown = np.array(
            [
                NEVER if limit.cooldown_hours is None else math.ceil(limit.cooldown_hours * HOUR)
                for limit in declared
            ],
            dtype=np.int64,
        )
        self._daily = bool((self._per_day < _NO_LIMIT).any())
        self._longest = int(self._cooldown.max(initial=NEVER))
        actions = [frozenset(np.flatnonzero(row).tolist()) for row in self.covers]
        self._rules = tuple(
            zip(actions, self._per_day.tolist(), self._cooldown.tolist(), strict=True)
        )

    def __len__(self) -> int:
        return len(self.covers)

    def matters_since(self, now: int) -> int:
        """Decisions made before this time change nothing at ``now``."""
        since = now // DAY * DAY if self._daily else now
        return since if self._longest == NEVER else min(since, now - self._longest)

    def unused(self, people: int) -> LimitUse:
        """Nobody has met anything yet."""
        size = (people, len(self))
        return LimitUse(np.full(size, NEVER), np.zeros(size, dtype=np.int64), np.full(size, NEVER))

    def used(self, recent: Recent, now: Int) -> LimitUse:
        """What recent decisions used up, as seen at ``now`` (n,)."""
        today = now // DAY
        known = np.maximum(recent.action, 0)
        covered = self._counted[known] & (recent.action >= 0)[:, :, None]
        covered |= (recent.action == UNDECIDED)[:, :, None]
        of_today = covered & (recent.at >= (today * DAY)[:, None])[:, :, None]
        made = np.where(covered, recent.at[:, :, None], NEVER)
        return LimitUse(
            day=np.repeat(today[:, None], len(self), axis=1),
            count=of_today.sum(axis=1, dtype=np.int64),
            last=made.max(axis=1, initial=NEVER),
        )

    def after(self, use: LimitUse, action: Int, now: Int) -> LimitUse:
        """The use after a decision of each person: (n,) actions, (n,) times that never step back."""
        covered = self._counted[action]
        today = (now // DAY)[:, None]
        before = np.where(use.day == today, use.count, 0)
        return LimitUse(
            day=np.where(covered, today, use.day),
            count=np.where(covered, before + 1, use.count),
            last=np.where(covered, now[:, None], use.last),
        )

    def exhausted(self, use: LimitUse, now: Int) -> Bool:
        """(n, A) actions that a limit takes away at ``now`` (n,)."""
        of_today = np.where(use.day >= (now // DAY)[:, None], use.count, 0)
        reached = (of_today >= self._per_day) | (now[:, None] - use.last < self._cooldown)
        return np.asarray(reached @ self.covers)

    def spent(self, met: Sequence[tuple[int, int]], now: int) -> Bool:
        """(A,) as ``exhausted(used(...))`` of one person who met these (time, action) pairs."""
        today = now // DAY * DAY
        spent = np.zeros(self.covers.shape[1], dtype=np.bool_)
        for limit, (covered, per_day, cooldown) in enumerate(self._rules):
            made = [at for at, action in met if action == UNDECIDED or action in covered]
            of_today = sum(at >= today for at in made)
            if of_today >= per_day or now - max(made, default=NEVER) < cooldown:
                spent |= self.covers[limit]
        return spent
