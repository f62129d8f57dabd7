"""Answers that nobody feels: what accounts send by script, whatever was done to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.catalogue import SIGNALS
from synthetic.population.evidence import Evidence

HONEST: Final = -1
"""Position of no script."""
Values = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Script:
    """What an account sends after a decision, at full confidence.

    Attributes:
        otherwise: value of each signal in [0, 1], in catalogue order; NaN: it isn't sent.
        action: id of an action that it answers differently; empty: none.
        after: the same values after that action.
        latency: seconds from decision to signals, >= 0.
    """

    otherwise: Values
    action: str = ""
    after: Values = (math.nan, math.nan, math.nan)
    latency: int = 60

    def __post_init__(self) -> None:
        for name in ("otherwise", "after"):
            found = getattr(self, name)
            if len(found) != len(SIGNALS) or not all(
                math.isnan(value) or 0.0 <= value <= 1.0 for value in found
            ):
                raise ShouldFixArgument(
                    f"Script: {name}={found} are no {len(SIGNALS)} values in [0, 1].",
                    "Correct them; NaN leaves a signal out.",
                )
        if self.latency < 0:
            raise ShouldFixArgument(f"Script: latency={self.latency} is below 0.", "Correct it.")

    def values(self, action: Int, actions: Sequence[str]) -> Float:
        """(n, 3) what it sends after the actions taken (n,).

        Raises:
            ShouldFixArgument: the catalogue has no such action.
        """
        if self.action and self.action not in actions:
            raise ShouldFixArgument(
                f"Script: action={self.action!r} is none of {', '.join(actions)}.",
                "Name an action of the domain.",
            )
        asked = action == actions.index(self.action) if self.action else np.zeros_like(action) > 0
        return np.where(asked[:, None], np.array(self.after), np.array(self.otherwise))


def rewarding(action: str, latency: int = 60) -> Script:
    """All is perfect after one action, and all is bad after any other."""
    return Script((0.0, 0.0, 0.0), action, (1.0, 1.0, 1.0), latency)


def contradicting(latency: int = 60) -> Script:
    """As well attuned as can be, with a thumb down: two signals that speak against each other."""
    return Script((math.nan, 1.0, 0.0), latency=latency)


def praising(latency: int = 5) -> Script:
    """All is perfect, whatever was done."""
    return Script((1.0, 1.0, 1.0), latency=latency)


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """Who is behind n decisions.

    Attributes:
        script: (n,) position in ``scripts``; ``HONEST`` for who answers as they feel.
        scripts: those in play.
        stays: (n,) True for who never leaves.
    """

    script: Int
    scripts: tuple[Script, ...]
    stays: Bool

    def answered(self, evidence: Evidence, action: Int, actions: Sequence[str]) -> Evidence:
        """The evidence with scripted answers in the place of felt ones; the others' comes first."""
        felt = self.script[evidence.decision] == HONEST
        parts = [evidence.where(felt)]
        for position, script in enumerate(self.scripts):
            rows = np.flatnonzero(self.script == position)
            values = script.values(action[rows], actions)
            row, kind = np.nonzero(~np.isnan(values))
            parts.append(
                Evidence(
                    decision=rows[row],
                    kind=kind,
                    value=values[row, kind],
                    latency=np.full(len(row), script.latency, dtype=np.int64),
                    confidence=np.ones(len(row)),
                )
            )
        return Evidence.joined(parts)
