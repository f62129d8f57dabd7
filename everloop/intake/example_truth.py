"""The known truth of the example log: how its made-up people respond, as formulas.

A person's feeling at a decision is a latent z in [-1, 1]^6 (``LATENT``). An action a suits it by

    s(z, h, a) = w_a . z + o_a + amplitude_a cos(2 pi (h - peak_a) / 24) - FATIGUE f_a,

h the hour and f_a how often a was taken in the person's last ``FATIGUE_SPAN`` decisions. The mean of
a signal t after an action other than no_action is

    m_t = 0.05 + 0.9 sigmoid(slope_t (s - threshold_t)),

and after no_action engagement is 0.3 + 0.1 z_gladness, the two others 0.5 (neither good nor bad).
Each signal is present with a probability that depends on the action alone, so the expected reward of
the loop's definition is the exact sum over which types are present (``expected_reward``). Nothing
depends on the age group or on who the person is: the example is fair by construction. Actions do not
change the later z, so the best policy is the best single decision in every state.
"""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int

LATENT = ("tension", "loneliness", "energy", "gladness", "overload", "curiosity")
ACTIONS = (
    "no_action",
    "pair-one",
    "pair-three",
    "hive-walk",
    "hive-music",
    "intervene-calm",
    "intervene-cheerful",
    "intervene-practical",
)
PAIRINGS = (1, 2)
SIGNALS = ("engagement", "resonance", "explicit_feedback")
WEIGHTS = np.array([0.3, 0.4, 0.3])
CLOSES_AFTER = 86_400

SUITS = np.array(
    [
        # tension loneliness energy gladness overload curiosity
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [-0.4, 1.5, -0.6, 0.2, -0.5, -0.4],
        [-0.6, 0.6, 1.2, 0.3, -0.6, 0.6],
        [0.5, -0.5, 1.3, -0.3, 0.7, -0.6],
        [-0.3, -0.4, -0.7, 1.3, -0.4, 0.8],
        [1.6, -0.3, -0.4, 0.2, 0.3, -0.5],
        [-0.3, 0.4, -0.4, -1.6, -0.3, 0.4],
        [-0.2, -0.5, 0.3, -0.3, 1.6, 0.4],
    ]
)
"""(A, 6) w_a, in catalogue order."""
OFFSET = np.array([0.0, 0.0, -0.1, 0.05, 0.05, -0.05, -0.1, -0.05])
AMPLITUDE = np.array([0.0, 0.15, 0.15, 0.2, 0.15, 0.15, 0.1, 0.15])
PEAK = np.array([0.0, 19.0, 18.0, 14.0, 20.0, 22.0, 9.0, 10.0])
FATIGUE = 0.1
FATIGUE_SPAN = 3

SLOPE = np.array([2.0, 2.4, 2.2])
THRESHOLD = np.array([0.55, 0.7, 0.65])

PRESENT = np.array(
    [
        # engagement resonance explicit_feedback
        [0.9, 0.05, 0.05],
        [0.9, 0.75, 0.5],
        [0.9, 0.75, 0.45],
        [0.9, 0.6, 0.45],
        [0.9, 0.6, 0.45],
        [0.9, 0.5, 0.55],
        [0.9, 0.5, 0.55],
        [0.9, 0.5, 0.55],
    ]
)
"""(A, S) probability that a signal is sent at all."""
LATE = 0.04
"""Share of sent signals that come after the episode has closed, and so do not count."""
SENT_TWICE = 0.05
"""Share of sent engagement signals that a second one of the same mean follows."""

UNIFORM_SHARE = 0.4
"""Exploration of the logging policy: every valid action has at least 0.4 / |valid| >= 0.05."""


def fit(latent: Float, hour: Int, repeats: Float) -> Float:
    """(n, A) how well each action suits: s of the module's formula.

    Args:
        latent: (n, 6) z within [-1, 1].
        hour: (n,) 0..23.
        repeats: (n, A) f, how often each action was taken in the last decisions.
    """
    daily = AMPLITUDE * np.cos(2 * np.pi * (hour[:, None] - PEAK) / 24)
    return np.asarray(latent @ SUITS.T + OFFSET + daily - FATIGUE * repeats, dtype=float)


def signal_means(latent: Float, hour: Int, repeats: Float) -> Float:
    """(n, A, S) true mean of each signal's value in [0, 1], given that it is sent."""
    suits = fit(latent, hour, repeats)[:, :, None]
    means = 0.05 + 0.9 / (1.0 + np.exp(-SLOPE * (suits - THRESHOLD)))
    means[:, 0, 0] = 0.3 + 0.1 * latent[:, LATENT.index("gladness")]
    means[:, 0, 1:] = 0.5
    return np.asarray(means, dtype=float)


def expected_reward(latent: Float, hour: Int, repeats: Float) -> Float:
    """(n, A) true expected reward of every action in [-1, 1], valid or not.

    Silence of engagement counts as 0; resonance and explicit feedback (2v - 1) count when present in
    time: the mean over the four patterns of presence of sum(w m) / sum(w).
    """
    means = signal_means(latent, hour, repeats)
    in_time = PRESENT * (1.0 - LATE)
    in_time[:, 0] += PRESENT[:, 0] * LATE * SENT_TWICE * (1.0 - LATE)
    engagement = WEIGHTS[0] * in_time[:, 0] * means[:, :, 0]
    reward = np.zeros(means.shape[:2])
    for resonance in (0, 1):
        for feedback in (0, 1):
            chance = np.where(resonance, in_time[:, 1], 1 - in_time[:, 1]) * np.where(
                feedback, in_time[:, 2], 1 - in_time[:, 2]
            )
            total = (
                engagement
                + resonance * WEIGHTS[1] * (2 * means[:, :, 1] - 1)
                + feedback * WEIGHTS[2] * (2 * means[:, :, 2] - 1)
            )
            reward += chance * total / (WEIGHTS[0] + resonance * WEIGHTS[1] + feedback * WEIGHTS[2])
    return reward


def logging_policy(hour: Int, heart_rate: Float, valid: Bool) -> Float:
    """(n, A) probabilities of the policy that decided in the example: mediocre and known.

    0.6 of a softmax over simple rules that lean to no_action, pairing in the evening, a walk by day
    and calm at a high pulse; 0.4 uniform. Both are over valid actions only.

    Args:
        hour: (n,) 0..23.
        heart_rate: (n,) beats per minute.
        valid: (n, A), no_action always True.
    """
    scores = np.zeros(valid.shape)
    scores[:, 0] = 1.4
    scores[:, list(PAIRINGS)] += 0.5 * (hour >= 18)[:, None]
    scores[:, ACTIONS.index("hive-walk")] += 0.5 * ((hour >= 8) & (hour < 18))
    scores[:, ACTIONS.index("intervene-calm")] += 0.8 * (heart_rate > 80)
    weights = np.where(valid, np.exp(scores), 0.0)
    rules = weights / weights.sum(axis=1, keepdims=True)
    uniform = valid / valid.sum(axis=1, keepdims=True)
    return np.asarray((1 - UNIFORM_SHARE) * rules + UNIFORM_SHARE * uniform, dtype=float)
