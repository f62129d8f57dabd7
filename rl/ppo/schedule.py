"""How exploration and the learning rate change over a training."""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.loop_spec import ExplorationSpec

_PIECES = 32


def epsilon_at(exploration: ExplorationSpec, iteration: int, iterations: int) -> float:
    """Exploration in iteration 0..iterations-1: linear from ``start`` to ``training_floor``."""
    return linear(exploration.start, exploration.training_floor, iteration, iterations)


def linear(first: float, last: float, iteration: int, iterations: int) -> float:
    """``first`` in iteration 0, ``last`` in iteration iterations-1, linear between."""
    share = iteration / max(1, iterations - 1)
    return first + (last - first) * min(1.0, share)


def cosine_pieces(learning_rate: float, steps: int) -> list[tuple[int, float]]:
    """Cosine annealing from ``learning_rate`` to 0 over ``steps`` environment steps.

    As (step, rate) corners of 32 linear pieces, RLlib's native form of a schedule, which resumes
    exactly: rate(x) = learning_rate * (1 + cos(pi x / steps)) / 2 at the corners.
    """
    pieces = min(_PIECES, steps)
    corners = [round(steps * i / pieces) for i in range(pieces + 1)]
    return [(x, learning_rate * (1.0 + math.cos(math.pi * x / steps)) / 2.0) for x in corners]


def stream(seed: int, iteration: int, worker: int, round_: int) -> np.random.Generator:
    """The generator of one purpose: seeds are counters, so a resumed training draws the same."""
    return np.random.default_rng(np.random.SeedSequence([seed, iteration, worker, round_]))
