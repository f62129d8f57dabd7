"""What an audit says of one release: is the loss that it proves allowed, is the noise what was paid,
does one person move it by what was paid?

Three questions, since each sees what the others cannot. Guesses prove a loss only where it is large;
noise that is halved is hard to prove so, yet shows at once in the people who were left out: nothing
but noise moves what their own direction holds. A person who counts twice under the right noise is seen
by neither, but where the same code runs with next to no noise they move it by twice their clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.audit.bound import epsilon_lower_bound

GUESSED_SHARE = 0.5
"""Share of the canaries that are guessed: the highest scores as taken in, the lowest as left out."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the people taken in moved the release, over what one clipped person may move it.

    ``ratio``: 1 for the strongest person that the mechanism allows; ``tolerance``: how far it may be from
    that.
    """

    ratio: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class AuditResult:
    """One audited release.

    Attributes:
        release: what was audited.
        canaries: planted people, about half of them taken in.
        guesses, correct: how many coins were guessed, and how many rightly.
        epsilon, delta: what the release claims.
        epsilon_lower: 95 % lower bound on its epsilon that the guesses prove.
        noise_ratio: standard deviation of left-out canaries' scores over the one that was paid for.
        noise_tolerance: how far the ratio may be from 1.
        shift: what a canary moves over what was paid for.
    """

    release: str
    canaries: int
    guesses: int
    correct: int
    epsilon: float
    delta: float
    epsilon_lower: float
    noise_ratio: float
    noise_tolerance: float
    shift: Shift

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the release fails the audit; empty if it passes."""
        found = []
        if self.epsilon_lower > self.epsilon:
            found.append(
                f"the guesses prove epsilon > {self.epsilon_lower:.2f}, above {self.epsilon:g}"
            )
        if not abs(self.noise_ratio - 1.0) <= self.noise_tolerance:
            found.append(
                f"the noise is {self.noise_ratio:.2f} of what was paid for, outside "
                f"1 +- {self.noise_tolerance:.2f}"
            )
        if not abs(self.shift.ratio - 1.0) <= self.shift.tolerance:
            found.append(
                f"one person moves {self.shift.ratio:.2f} of what was paid for, outside "
                f"1 +- {self.shift.tolerance:.2f}"
            )
        return tuple(found)

    @property
    def passed(self) -> bool:
        return not self.problems


def noise_tolerance(held_out: int) -> float:
    """How far the noise ratio may be from 1: .1 with 500 held-out canaries, more with fewer.

    The ratio's own standard deviation is 1 / sqrt(2 n): .1 is 3.2 of them at n = 500, which keeps a
    false alarm below 2 in 1,000 at every size.
    """
    return max(0.1, 3.2 / float(np.sqrt(2.0 * held_out)))


def mean_shift(scores: Float, included: Bool) -> float:
    """How much higher the scores (m,) of those taken in are, on average, than of those left out."""
    return float(scores[included].mean() - scores[~included].mean())


def judge(
    release: str,
    scores: Float,
    included: Bool,
    deviation: float,
    shift: Shift,
    epsilon: float,
    delta: float,
) -> AuditResult:
    """Guess every canary's coin from its score and judge the release.

    Args:
        release: its name.
        scores: (m,) how far the output moved in each canary's own direction, towards the canary.
        included: (m,) the coins.
        deviation: standard deviation that the paid noise gives a score.
        shift: what one person was found to move.
        epsilon, delta: what the release claims.

    Raises:
        ShouldFixArgument: there are fewer than 20 canaries, or nearly all fell on one side.
    """
    held_out = int((~included).sum())
    if len(scores) < 20 or min(held_out, len(scores) - held_out) < 5:
        raise ShouldFixArgument(
            f"An audit of {len(scores)} canaries, {held_out} of them left out.",
            "Plant at least 20 and throw a fair coin for each.",
        )
    half = int(len(scores) * GUESSED_SHARE) // 2
    order = np.argsort(scores, kind="stable")
    correct = int(included[order[-half:]].sum() + (~included[order[:half]]).sum())
    return AuditResult(
        release=release,
        canaries=len(scores),
        guesses=2 * half,
        correct=correct,
        epsilon=epsilon,
        delta=delta,
        epsilon_lower=epsilon_lower_bound(len(scores), 2 * half, correct, delta),
        noise_ratio=float(np.sqrt(np.mean(scores[~included] ** 2)) / deviation),
        noise_tolerance=noise_tolerance(held_out),
        shift=shift,
    )
