"""What is strange about an episode, so that a person should look before anything learns from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from everloop.contracts.oversight import ReviewKind

Z_LIMIT = 5.0
"""Robust standard deviations above which something is strange: a normal tail passes it three times in
ten million."""
NORMAL_MAD = 1.4826
"""Times a median absolute deviation, it estimates a normal standard deviation."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One reason to look at one episode.

    Attributes:
        reason: a sentence with the numbers; it names no person.
        score: robust standard deviations, above ``Z_LIMIT``.
    """

    episode_id: str
    kind: ReviewKind
    reason: str
    score: float


def strongest(found: Iterable[Suspicion]) -> tuple[Suspicion, ...]:
    """One of each episode and kind, the one with the largest score; by kind, score and episode."""
    best: dict[tuple[str, ReviewKind], Suspicion] = {}
    for one in found:
        before = best.get((one.episode_id, one.kind))
        if before is None or one.score > before.score:
            best[one.episode_id, one.kind] = one
    return tuple(sorted(best.values(), key=lambda one: (one.kind, -one.score, one.episode_id)))
