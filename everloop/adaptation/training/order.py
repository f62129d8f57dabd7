"""In which order a phase goes through its examples, drawn once so that any step can be taken up again."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.voice_spec import CurriculumSpec

Rows = NDArray[np.int64]


def steps_of(rows: int, epochs: float, max_steps: int | None, batch: int) -> int:
    """Optimiser steps of a phase: ``max_steps``, or what it takes to see every row ``epochs`` times."""
    return max_steps or max(1, math.ceil(round(rows * epochs) / batch))


def warmup_of(steps: int, ratio: float) -> int:
    """Optimiser steps in which the rate rises from 0; the last step is never one, so that a phase of one
    step learns at its peak rate."""
    return min(math.ceil(ratio * steps), steps - 1)


def replayed_of(own: int, share: float) -> int:
    """How many earlier rows join ``own`` ones so that they are ``share`` of all."""
    return round(own * share / (1.0 - share)) if share < 1.0 else own


def replayed_in(phases: CurriculumSpec) -> float:
    """Share of all completions that are earlier ones where every phase replays its share, in [0, 1)."""
    share = phases.replay_share
    beside = len(phases.phases) * (share / (1.0 - share) if share < 1.0 else 1.0)
    return beside / (1.0 + beside)


def draw_replay(earlier: Rows, own: int, share: float, rng: np.random.Generator) -> Rows:
    """(r,) earlier rows without repetition; all where there are too few."""
    count = min(replayed_of(own, share), len(earlier))
    return np.sort(rng.choice(earlier, size=count, replace=False))


def phase_order(
    rows: Rows,
    lengths: Rows,
    epochs: float,
    max_steps: int | None,
    batch: int,
    rng: np.random.Generator,
) -> Rows:
    """Rows in the order of training: each epoch a new permutation, cut into effective batches.

    Within an effective batch, whose gradient is a sum, rows stand by falling length, so that the parts that
    it is taken in need little padding and the largest comes first. ``lengths``: tokens of every row that
    ``rows`` may name.
    """
    steps = steps_of(len(rows), epochs, max_steps, batch)
    wanted = steps * batch if max_steps else max(1, round(len(rows) * epochs))
    passes = [rng.permutation(rows) for _ in range(math.ceil(wanted / len(rows)))]
    order = np.concatenate(passes)[:wanted]
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        order[start : start + batch] = part[np.argsort(-lengths[part], kind="stable")]
    return order
