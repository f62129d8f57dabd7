"""How much privacy loss a number of right guesses proves: the one-run audit's lower bound.

m canary people are each taken in or left out by a fair coin, all in one run. An auditor who sees only
the output guesses the coins of r of them. If the run is (epsilon, delta)-private, then

    P[at least v right] <= P[B >= v] + 2 m delta max_{i >= 1} P[v > B >= v - i] / i,

B binomial with r trials of chance e^epsilon / (1 + e^epsilon). Every epsilon for which this is below
1 - confidence is refuted. Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run",
NeurIPS 2023, theorem 5.2 and appendix D.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import binom

from everloop.contracts.errors import ShouldFixArgument

MOST_EPSILON = 64.0
"""Where the search ends: an auditor who is never wrong can prove no more with any number of canaries."""
_HALVINGS = 50


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Largest chance that an (epsilon, delta)-private run allows for so many right guesses.

    Args:
        canaries: m, >= 1.
        guesses: r, 1..m.
        correct: v, 0..r.
        epsilon: >= 0.
        delta: in [0, 1).

    Raises:
        ShouldFixArgument: a value is out of its range.
    """
    _require(1 <= guesses <= canaries, f"guesses={guesses} is not within 1..{canaries}")
    _require(0 <= correct <= guesses, f"correct={correct} is not within 0..{guesses}")
    _require(epsilon >= 0.0, f"epsilon={epsilon} is negative")
    _require(0.0 <= delta < 1.0, f"delta={delta} is not within [0, 1)")
    chance = expit(epsilon)
    reached = float(binom.sf(correct - 1, guesses, chance))
    if correct == 0 or delta == 0.0:
        return min(1.0, reached)
    below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, chance))
    steepest = float((below / np.arange(1, correct + 1)).max())
    return min(1.0, reached + 2.0 * canaries * delta * steepest)


def epsilon_lower_bound(
    canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95
) -> float:
    """Largest epsilon that the guesses refute at the confidence; 0 if they refute none.

    The number of guesses has to be chosen before the output is seen.

    Raises:
        ShouldFixArgument: as ``p_value``, or the confidence is not within (0, 1).
    """
    _require(0.0 < confidence < 1.0, f"confidence={confidence} is not within (0, 1)")
    level = 1.0 - confidence
    if p_value(canaries, guesses, correct, 0.0, delta) >= level:
        return 0.0
    low, high = 0.0, MOST_EPSILON
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if p_value(canaries, guesses, correct, middle, delta) < level:
            low = middle
        else:
            high = middle
    return low


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ShouldFixArgument(f"Privacy audit: {problem}.", "Give a value within the range.")
