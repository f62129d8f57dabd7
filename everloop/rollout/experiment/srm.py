"""Whether people are in the arms that the shares say, asked at every look.

A trial that loses people of one arm (its decisions fail, its pages do not load, its log is late)
compares people who are not alike, and no estimate mends it. People are counted at their first exposure,
in the stratum of the ramp at which they came; there, n1 of n met the candidate, who should be a share p.
The evidence is Lindon and Malek's (2020, "Anytime-valid inference for multinomial count
data"): the likelihood under Dirichlet(c p, c (1 - p)) over the likelihood at p,

    E = B(c p + n1, c (1 - p) + n0) / B(c p, c (1 - p)) / (p^n1 (1 - p)^n0),

multiplied over the steps of the ramp and averaged over three c, for large and small departures. Under
the designed shares E is a martingale of mean 1: it ever exceeds 1/alpha with probability at most alpha.

People who come back are counted again in each later step, at the share that their earlier arms leave
(``everloop.rollout.experiment.returning``); E' is the same evidence over them. Given all that was seen
before, each such arm has exactly that share, so E and E' are martingales in one and the same order of
time, and so is their average, which the test uses: alpha holds for both together, at every look, and
either alone alarms at 2/alpha. E-values of each step by itself, at the step's whole share, would not
average so: seen beside the other steps they are no martingales.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import SampleRatio, StepRatio
from everloop.rollout.experiment.observations import CANDIDATE, TrialObservations
from everloop.rollout.experiment.returning import Returned, returned

ALPHA = 0.01
"""Error of the test over the whole trial: a false alarm stops a trial that nothing is wrong with."""
CONCENTRATIONS = (10.0, 300.0, 10_000.0)


def log_evidence(counts: Iterable[tuple[int, int, float]]) -> float:
    """Natural logarithm of E over (control n0, candidate n1, share p of the candidate), one per step.

    A share of 1 expects nobody in the control: anybody there is infinite evidence.

    Raises:
        ShouldFixArgument: negative counts, or a share outside (0, 1].
    """
    sums = [0.0] * len(CONCENTRATIONS)
    for control, candidate, share in counts:
        if control < 0 or candidate < 0 or not 0.0 < share <= 1.0:
            raise ShouldFixArgument(
                f"Sample ratio: {control} and {candidate} people at share {share} are no counts.",
                "Count people, at a share within (0, 1].",
            )
        if share == 1.0:
            if control:
                return math.inf
            continue
        at_share = candidate * math.log(share) + control * math.log1p(-share)
        for place, c in enumerate(CONCENTRATIONS):
            a, b = c * share, c * (1.0 - share)
            sums[place] += _log_beta(a + candidate, b + control) - _log_beta(a, b) - at_share
    largest = max(sums)
    return largest + math.log(sum(math.exp(s - largest) for s in sums) / len(sums))


def sample_ratio(observations: TrialObservations) -> SampleRatio:
    """The test over first exposures and over returns; ``expected`` and ``observed`` count the first."""
    order = np.argsort(observations.timestamp, kind="stable")
    _, first = np.unique(observations.person[order], return_index=True)
    rows = order[first]
    arm, percent = observations.arm[rows] == CANDIDATE, observations.percent[rows]
    counts, expected = [], 0.0
    for step in np.unique(percent).tolist():
        there, share = percent == step, observations.shares[step]
        candidate = int(arm[there].sum())
        counts.append((int(there.sum()) - candidate, candidate, share))
        expected += share * int(there.sum())
    back = returned(observations)
    evidence = _average(
        log_evidence(counts), log_evidence((r.control, r.candidate, r.share) for r in back)
    )
    return SampleRatio(
        expected={"control": len(rows) - expected, "candidate": expected},
        observed={"control": int((~arm).sum()), "candidate": int(arm.sum())},
        log_evidence=evidence,
        mismatch=evidence >= math.log(1.0 / ALPHA),
        returning=_by_step(back),
    )


def _average(one: float, other: float) -> float:
    """Logarithm of the mean of two e-values."""
    return float(np.logaddexp(one, other)) - math.log(2.0)


def _by_step(back: Iterable[Returned]) -> tuple[StepRatio, ...]:
    sums: dict[float, tuple[int, int, float]] = {}
    for r in back:
        control, candidate, expected = sums.get(r.percent, (0, 0, 0.0))
        sums[r.percent] = (
            control + r.control,
            candidate + r.candidate,
            expected + r.share * (r.control + r.candidate),
        )
    return tuple(
        StepRatio(
            percent,
            {"control": control + candidate - expected, "candidate": expected},
            {"control": control, "candidate": candidate},
        )
        for percent, (control, candidate, expected) in sorted(sums.items())
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
