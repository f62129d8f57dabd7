"""How the steps of a fit are taken: momentum, and which iterates the release is the mean of."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Float

MOMENTUM = 0.75
"""What a few steps need to reach directions of little curvature."""
AVERAGED_SHARE = 0.25
"""Share of the steps whose iterates the release is the mean of: noise that each step adds averages out."""


def averaged_steps(steps: int) -> int:
    """How many of the last steps' iterates the release is the mean of."""
    return max(1, round(AVERAGED_SHARE * steps))


def noise_response(steps: int) -> Float:
    """(steps,) how far the release moves with the sum of each step, in a direction without curvature.

    In units of rate / N: step t reaches the iterate after s steps with
    (1 - MOMENTUM^(s - t)) / (1 - MOMENTUM), and the release is the mean of the last iterates.
    """
    after = np.arange(1, steps + 1)[:, None] - np.arange(steps)[None, :]
    reached = np.where(after > 0, (1.0 - MOMENTUM ** np.maximum(after, 0)) / (1.0 - MOMENTUM), 0.0)
    return np.asarray(reached[-averaged_steps(steps) :].mean(axis=0))
