"""Generalised advantage estimation over batched journeys."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, Float


def generalised_advantages(
    reward: Float,
    value: Float,
    next_value: Float,
    terminated: Bool,
    done: Bool,
    discount: float,
    gae_lambda: float,
) -> tuple[Float, Float]:
    """Advantages and value targets, both (T, N), for T decisions in each of N journeys.

    delta_t = r_t + discount * V(s'_t) * [not terminated_t] - V(s_t)
    A_t = delta_t + discount * lambda * [not done_t] * A_{t+1}, A_T = 0; target_t = A_t + V(s_t).
    (Schulman et al. 2016, "High-dimensional continuous control using GAE".)

    Args:
        reward, value: (T, N) r_t and V(s_t).
        next_value: (T, N) V(s'_t) of the state that followed decision t, before any reset.
        terminated: (T, N) nothing follows decision t.
        done: (T, N) the journey stopped after decision t, ended or cut.
    """
    delta = reward + discount * next_value * ~terminated - value
    advantage = np.zeros_like(delta)
    following = np.zeros(delta.shape[1])
    for t in range(len(delta) - 1, -1, -1):
        following = delta[t] + discount * gae_lambda * ~done[t] * following
        advantage[t] = following
    return advantage, advantage + value
