"""What a setting is worth: the simulated return of its policy with people that no trial trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.simulation import ProfileBatch
from rl.environment.journeys import JourneyBatch, JourneySource
from rl.module import PolicyNetwork

HELD_OUT = 0.25
"""Share of the synthetic people that trials are judged on and never train on."""
JOURNEYS = 512
"""Journeys of an evaluation."""
CONFIDENCE = 0.95
_Z = 1.959964
_STREAM = 0x74756E65
"""Marks the evaluation's stream, so that no other draw of a seed repeats it."""


def divided(profiles: ProfileBatch, seed: int) -> tuple[ProfileBatch, ProfileBatch]:
    """(to train on, to judge on): a fixed division of synthetic people, the same for every trial.

    Raises:
        ShouldFixArgument: there are too few people for both.
    """
    count = len(profiles)
    held_out = round(HELD_OUT * count)
    if held_out < 2 or count - held_out < 2:
        raise ShouldFixArgument(
            f"{count} profiles cannot be divided into people to train on and to judge on.",
            "Generate more profiles: raise training.profiles.",
        )
    order = np.random.default_rng([seed, _STREAM]).permutation(count)
    return _rows(profiles, order[held_out:]), _rows(profiles, order[:held_out])


def simulated_return(network: PolicyNetwork, source: JourneySource, seed: int) -> Estimate:
    """Mean of sum_t r_t over ``JOURNEYS`` whole journeys, actions drawn from pi without exploration.

    A journey ends with its person or with the length limit, so a policy that drives people away earns
    less. Rewards are those of the source's user model: where that one is pessimistic, so is the
    return. Equal seeds judge every policy on the same people and the same random numbers.

    Raises:
        ShouldRestoreArtefact: the user model answered NaN or a value out of range.
    """
    rng = np.random.default_rng([seed, _STREAM, JOURNEYS])
    journeys = JourneyBatch(source, JOURNEYS)
    state = journeys.reset(rng)
    total = np.zeros(JOURNEYS)
    playing = np.ones(JOURNEYS, dtype=np.bool_)
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
    half = _Z * deviation / float(np.sqrt(JOURNEYS))
    return Estimate(
        name="simulated return",
        value=mean,
        low=mean - half,
        high=mean + half,
        confidence=CONFIDENCE,
        n=JOURNEYS,
        clusters=JOURNEYS,
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
