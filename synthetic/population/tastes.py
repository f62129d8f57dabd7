"""What suits whom: the constants of ``responses``, in catalogue order of the actions."""

from __future__ import annotations

from typing import Final

import numpy as np

from everloop.contracts.datasets import Float

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
TIRED: Final = 0.5
AFFINITY: Final = 0.7
SLOPE: Final[Float] = np.array([1.65, 2.1, 1.95])
THRESHOLD: Final[Float] = np.array([0.4, 0.5, 0.5])
QUIET: Final[Float] = np.array([0.08, 0.5, 0.5])
"""(3,) chances after no_action."""
