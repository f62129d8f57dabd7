"""Whether people met the variants in the shares that were asked for.

With k variants, the multinomial of people over variants is a chain of k - 1 binomials: the base among all,
the first variant among those who did not meet the base, and so on. Each has its share, so the evidence of
model trials (``everloop.rollout.experiment.srm``), multiplied over the chain, is a martingale of mean 1
here too: at most ``ALPHA`` of experiments without a fault are ever called mismatched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from everloop.contracts.rollouts import SampleRatio
from everloop.contracts.variants import PersonaVariant
from everloop.rollout.experiment.srm import ALPHA, log_evidence


def shares_met(variants: Sequence[PersonaVariant]) -> SampleRatio:
    """The test over people who met a variant, by variant.

    Anybody who met a variant without a share is infinite evidence.
    """
    met = [v.metrics.people for v in variants]
    weights = [v.traffic_percentage / 100.0 for v in variants]
    evidence = _chain(met, weights)
    whole = sum(met)
    return SampleRatio(
        expected={
            v.variant_id: whole * weight for v, weight in zip(variants, weights, strict=True)
        },
        observed={v.variant_id: number for v, number in zip(variants, met, strict=True)},
        log_evidence=evidence,
        mismatch=evidence >= math.log(1.0 / ALPHA),
    )


def _chain(met: Sequence[int], weights: Sequence[float]) -> float:
    pairs = list(zip(met, weights, strict=True))
    if any(number and weight <= 0.0 for number, weight in pairs):
        return math.inf
    shared = [(number, weight) for number, weight in pairs if weight > 0.0]
    people, left = sum(met), sum(weight for _, weight in shared)
    counts = []
    for number, weight in shared[:-1]:
        counts.append((people - number, number, weight / left))
        people, left = people - number, left - weight
    return log_evidence(counts)
