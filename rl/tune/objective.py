"""What a setting is worth: the simulated return of its policy with people that no trial trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.simulation import ProfileBatch
from rl.environment.journeys import JourneyBatch, JourneySource
from rl.module import PolicyNetwork

HELD_OUT = 0.25
"""Share of the synthetic people that trials are judged on and never train on."""
KEPT = 0.15
"""Share that no trial is trained or judged on: the winner of them all is judged again on these."""
JOURNEYS = 512
"""Journeys of a trial's evaluation."""
JOURNEYS_AGAIN = 4096
"""Journeys of the winner's second evaluation, which is made once and is the figure to trust."""
CONFIDENCE = 0.95
_Z = 1.959964
_STREAM = 0x74756E65
"""Marks the evaluations' streams, so that no other draw of a seed repeats them."""


class Divided(NamedTuple):
    """Synthetic people in three parts that share nobody."""

    trained_on: ProfileBatch
    judged_on: ProfileBatch
    kept: ProfileBatch


def divided(profiles: ProfileBatch, seed: int) -> Divided:
    """A fixed division of synthetic people, the same for every trial.

    Raises:
        ShouldFixArgument: there are too few people for each part to have two.
    """
    count = len(profiles)
    judged, kept = round(HELD_OUT * count), round(KEPT * count)
    if min(judged, kept, count - judged - kept) < 2:
        raise ShouldFixArgument(
            f"{count} profiles cannot be divided into people to train on and to judge on, twice.",
            "Generate more profiles: raise training.profiles.",
        )
    order = np.random.default_rng([seed, _STREAM]).permutation(count)
    return Divided(
        _rows(profiles, order[judged + kept :]),
        _rows(profiles, order[:judged]),
        _rows(profiles, order[judged : judged + kept]),
    )


def doubts_seed(seed: int, again: bool = False) -> int:
    """Seed of the plausible models that a judge asks, another one than any that training asks.

    Trials exploit the members that they meet; a judge that asked the same would call that a return.

    Args:
        seed: of the sweep.
        again: of the judge of the winner alone, whose members judged no trial either.
    """
    sequence = np.random.SeedSequence([seed, _STREAM, 2 if again else 1])
    return int(sequence.generate_state(1, np.uint64)[0])


def simulated_return(
    network: PolicyNetwork, source: JourneySource, seed: int, count: int = JOURNEYS
) -> Estimate:
    """Mean of sum_t r_t over ``count`` whole journeys, actions drawn from pi without exploration.

    A journey ends with its person or with the length limit, so a policy that drives people away earns
    less. Rewards are those of the source's user model: where that one is pessimistic, so is the
    return. Equal seeds judge every policy on the same people and the same random numbers.

    Raises:
        ShouldRestoreArtefact: the user model answered NaN or a value out of range.
    """
    rng = np.random.default_rng([seed, _STREAM, count])
    journeys = JourneyBatch(source, count)
    state = journeys.reset(rng)
    total = np.zeros(count)
    playing = np.ones(count, dtype=np.bool_)
    with torch.inference_mode():
        for _ in range(source.length):
            logits = network.logits(torch.from_numpy(state)).numpy()
            # the largest of log pi + Gumbel noise is distributed as pi
            action = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
            step = journeys.step(action)
            total[playing] += step.reward[playing]
            playing &= ~step.done
            if not playing.any():
                break
            state = journeys.observation
    mean, deviation = float(total.mean()), float(total.std(ddof=1))
    half = _Z * deviation / float(np.sqrt(count))
    return Estimate(
        name="simulated return",
        value=mean,
        low=mean - half,
        high=mean + half,
        confidence=CONFIDENCE,
        n=count,
        clusters=count,
        method="mean total reward of whole simulated journeys of held-out synthetic people, normal "
        "interval over journeys",
    )


def _rows(profiles: ProfileBatch, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> ProfileBatch:
    return replace(
        profiles,
        context=profiles.context[rows],
        mask=profiles.mask[rows],
        weight=profiles.weight[rows],
        edge=None if profiles.edge is None else profiles.edge[rows],
        persona=None if profiles.persona is None else profiles.persona[rows],
    )
