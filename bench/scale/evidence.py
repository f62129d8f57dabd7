"""Ten signals an episode without another truth: what was signalled once is signalled again.

A kind of signal that came in time gets further readings of the same law; a kind that did not come, or
came too late, gets none. Which kinds are present is therefore as the population drew it, every reading
has the same mean, and so the expected reward of every action is what ``Responses.expected_reward`` says.
"""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Float, Int
from synthetic.population import DayOfDecisions
from synthetic.population.catalogue import SIGNALS
from synthetic.population.decisions import Decisions
from synthetic.population.evidence import Evidence, draw
from synthetic.population.responses import Responses

_CONCERN = 97


def ten_each(played: DayOfDecisions, seed: int, each: int) -> Evidence:
    """A day's evidence filled up to ``each`` signals a decision, about: ``each`` n in all.

    Decisions that people never answered stay without evidence; the others share what is missing there.
    """
    made, responses = played.decisions, played.responses
    rng = np.random.default_rng([seed, _CONCERN, played.date.toordinal()])
    n, first = len(made), made.evidence
    has = np.bincount(first.decision, minlength=n)
    wanted = _quotas(has, each, first.latency <= responses.loop.reward.closes_after_seconds, first)
    chances = responses.chances_with(made.hidden, made.action, made.partners)
    parts, filled = [first], has
    while (lacking := filled < wanted).any():
        more = _readings(responses, made, chances, rng)
        # as many of each decision's as it lacks, whichever kinds they are of
        order = rng.permutation(len(more))
        more = more.where(order[np.argsort(more.decision[order], kind="stable")])
        start = np.searchsorted(more.decision, np.arange(n))
        place = np.arange(len(more)) - start[more.decision]
        more = more.where(lacking[more.decision] & (place < (wanted - filled)[more.decision]))
        parts.append(more)
        filled = filled + np.bincount(more.decision, minlength=n)
    return Evidence.joined(parts)


def _quotas(has: Int, each: int, timely: np.ndarray, first: Evidence) -> Int:
    """(n,) signals of each decision, ``each`` n in all; those without a timely one keep what they have."""
    n = len(has)
    growing = np.bincount(first.decision[timely], minlength=n) > 0
    wanted = has.copy()
    if growing.any():
        left = each * n - int(has[~growing].sum())
        base, extra = divmod(left, int(growing.sum()))
        wanted[growing] = base
        wanted[np.flatnonzero(growing)[:extra]] += 1
    return np.asarray(np.maximum(wanted, has))


def _readings(
    responses: Responses, made: Decisions, chances: Float, rng: np.random.Generator
) -> Evidence:
    """One further reading of every kind that came in time."""
    n, closes = len(made), responses.loop.reward.closes_after_seconds
    first = made.evidence
    came = np.zeros((n, len(SIGNALS)), dtype=np.bool_)
    timely = first.latency <= closes
    came[first.decision[timely], first.kind[timely]] = True
    everywhere = np.ones((len(responses.domain), len(SIGNALS)))
    found = draw(chances, made.action, closes, responses.disturbance, rng, everywhere)
    return found.where(came[found.decision, found.kind])
