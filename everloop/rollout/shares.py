"""Whether a share lies above a limit, asked as often as one likes.

Counts of a trial are looked at every few seconds, so an interval for one look would be wrong in the end.
The answer is an e-process: with k hits among n, its expectation is at most 1 whenever the true share is at
most the limit, whenever one stops, so that it exceeds 1/alpha with probability at most alpha over all looks
(Ville 1939; Robbins 1970, "Statistical methods related to the law of the iterated logarithm"). The mixture
is uniform over the shares above the limit.
"""

from __future__ import annotations

import math

from everloop.contracts.errors import ShouldFixArgument

_NEGLIGIBLE = 1e-18


def log_evidence_above(hits: int, n: int, limit: float) -> float:
    """Natural logarithm of the evidence that a share is above ``limit``.

    M = integral over p in (limit, 1) of p^k (1 - p)^(n - k) dp / ((1 - limit) limit^k (1 - limit)^(n - k))
      = P(Bin(n + 1, limit) <= k) / ((n + 1) C(n, k) (1 - limit) limit^k (1 - limit)^(n - k)).

    Exact, not asymptotic; assumes that one hit does not make another one more likely.

    Args:
        hits: k in [0, n].
        limit: in [0, 1]. At 0 the first hit is infinite evidence, at 1 nothing is evidence (-inf).

    Raises:
        ShouldFixArgument: counts or limit outside their ranges.
    """
    if not (0 <= hits <= n and 0.0 <= limit <= 1.0):
        raise ShouldFixArgument(f"{hits} of {n} against a limit of {limit} is no share.")
    if limit == 1.0:
        return -math.inf
    if limit == 0.0:
        return math.inf if hits else -math.log(n + 1)
    ways = math.lgamma(n + 1) - math.lgamma(hits + 1) - math.lgamma(n - hits + 1)
    at_limit = hits * math.log(limit) + (n - hits + 1) * math.log1p(-limit)
    return _log_at_most(hits, n + 1, limit) - math.log(n + 1) - ways - at_limit


def _log_at_most(most: int, n: int, p: float) -> float:
    """log P(Bin(n, p) <= most) for 0 < p < 1, 0 <= most < n; sums the smaller tail, largest term first."""
    odds = p / (1.0 - p)
    below = most < n * p
    k = most if below else most + 1
    first = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
    )
    total = term = 1.0
    while term > _NEGLIGIBLE * total and (k > 0 if below else k < n):
        term *= k / ((n - k + 1) * odds) if below else (n - k) * odds / (k + 1)
        k += -1 if below else 1
        total += term
    tail = first + math.log(total)
    return tail if below else math.log(-math.expm1(min(tail, -_NEGLIGIBLE)))
