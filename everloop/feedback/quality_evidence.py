"""How pieces of evidence become one score.

Each piece holds a weight in natural log-odds for "sent by a machine". Pieces of one family are often
several views of one fact, so the strongest counts whole and each other by ``ECHO``::

    weight(family) = max(w) + ECHO * (sum(w) - max(w))
    score          = 1 / (1 + exp(sum over families of weight(family) - PRIOR))

``PRIOR`` is the log-odds of a person before anything was seen (4: 98.2 %). Quarantine begins where a
machine is as likely as a person: a total of ``PRIOR``, a score of one half.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from everloop.contracts.errors import ShouldFixArgument

PRIOR = 4.0
ECHO = 0.35


class Family(StrEnum):
    PACE = "pace"
    RHYTHM = "rhythm"
    VALUES = "values"
    TEXT = "text"
    CLIENT = "client"
    CLOCK = "clock"
    STANDING = "standing"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece.

    Attributes:
        reason: its stable name, such as ``rapid_fire``.
        weight: log-odds towards a machine, >= 0.
        seen: what was seen, in a few words and numbers.
        of_session: whether it speaks of the session rather than of one feedback.
    """

    family: Family
    reason: str
    weight: float
    seen: str
    of_session: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ShouldFixArgument(f"{self.reason}: weight={self.weight!r} is no number >= 0.")

    def __str__(self) -> str:
        return f"{self.reason}: {self.seen} (+{self.weight:.1f})"


def total(evidence: Iterable[Evidence]) -> float:
    """Log-odds of all pieces together, >= 0."""
    families: dict[Family, list[float]] = {}
    for piece in evidence:
        families.setdefault(piece.family, []).append(piece.weight)
    return sum(max(ws) + ECHO * (sum(ws) - max(ws)) for ws in families.values())


def human_share(log_odds: float) -> float:
    """The score in [0, 1] of a total."""
    return 1.0 / (1.0 + math.exp(min(log_odds - PRIOR, 700.0)))
