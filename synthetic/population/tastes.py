"""What suits whom and what it does to them: the companion's tables of ``responses`` and ``dynamics``,
in catalogue order of the actions."""

from __future__ import annotations

from typing import Final

import numpy as np

from everloop.contracts.datasets import Float

FEATURES: Final[Float] = np.array(
    [
        # calming company activity guidance novelty
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, -0.5, -0.5],
        [-0.5, 1.0, 1.0, -0.5, 0.5],
        [0.5, 0.0, 1.0, 0.0, 0.5],
        [0.5, 0.0, -0.5, -0.5, 1.0],
        [1.0, 0.0, -0.5, 0.0, -0.5],
        [-0.5, 0.5, -0.5, -0.5, 0.0],
        [0.0, -0.5, 0.0, 1.0, -0.5],
    ]
)
"""(A, 5) what describes each action to models."""
MOOD: Final[Float] = np.array(
    [
        # tension loneliness energy overload
        [0.0, 0.0, 0.0, 0.0],
        [-0.3, 1.1, -0.2, -0.5],
        [-0.4, 0.5, 0.9, -0.6],
        [0.5, -0.2, 0.9, 0.2],
        [0.2, -0.2, -0.6, -0.3],
        [1.2, -0.1, -0.3, 0.1],
        [-0.5, 0.5, -0.7, -0.4],
        [-0.1, -0.3, 0.3, 1.2],
    ]
)
TASTE: Final[Float] = np.array(
    [
        # sociability novelty
        [0.0, 0.0],
        [0.4, -0.5],
        [0.8, 0.4],
        [-0.4, 0.3],
        [0.1, 0.9],
        [-0.2, -0.5],
        [0.5, 0.1],
        [-0.7, -0.3],
    ]
)
OFFSET: Final[Float] = np.array([0.0, -0.1, -0.2, -0.1, 0.0, -0.1, -0.1, -0.1])
DAILY: Final[Float] = np.array(
    [
        # night morning afternoon evening
        [0.0, 0.0, 0.0, 0.0],
        [-0.2, -0.1, 0.0, 0.2],
        [-0.3, -0.1, 0.1, 0.2],
        [-0.4, 0.1, 0.2, -0.1],
        [0.1, -0.1, 0.0, 0.1],
        [0.2, -0.1, 0.0, 0.1],
        [-0.1, 0.1, 0.0, 0.0],
        [-0.2, 0.2, 0.1, -0.1],
    ]
)
EFFECT: Final[Float] = np.array(
    [
        # tension loneliness energy overload
        [-0.05, 0.15, 0.1, -0.5],
        [-0.1, -0.45, -0.15, 0.2],
        [0.1, -0.4, -0.3, 0.4],
        [-0.35, 0.0, -0.25, -0.1],
        [-0.25, 0.0, 0.15, 0.15],
        [-0.6, 0.0, -0.05, 0.1],
        [-0.1, -0.2, 0.3, 0.25],
        [-0.15, 0.05, -0.1, -0.45],
    ]
)
"""(A, 4) sign: direction of one step; size: its probability."""
CLOSER: Final[Float] = np.array([0.0, 0.35, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0])
"""(A,) how much compatibility adds to the chance that loneliness eases."""
TIRED: Final = 0.5
AFFINITY: Final = 0.7
SLOPE: Final[Float] = np.array([1.65, 2.1, 1.95])
THRESHOLD: Final[Float] = np.array([0.4, 0.5, 0.5])
QUIET: Final[Float] = np.array([0.08, 0.5, 0.5])
"""(3,) chances after no_action."""
