"""The loop that the population speaks: signals and context, and the companion's actions."""

from __future__ import annotations

from typing import Final

import numpy as np

from everloop.contracts.datasets import Float, Int
from everloop.contracts.loop_spec import FieldKind, LoopSpec, Silence
from synthetic.population.archetypes import AGE_GROUPS

ACTIONS: Final = (
    "no_action",
    "pair-one",
    "pair-three",
    "hive-walk",
    "hive-music",
    "intervene-calm",
    "intervene-cheerful",
    "intervene-practical",
)
NOTHING: Final = 0
PARTNERS: Final[Int] = np.array([0, 1, 3, 0, 0, 0, 0, 0])
"""(A,) how many people an action brings together with the person."""
MOST_PARTNERS: Final = 3
PAIRINGS: Final = (1, 2)
KINDS: Final = ("suggest_pairing", "recommend_hive", "intervention")
KIND_OF: Final[Int] = np.array([-1, 0, 0, 1, 1, 2, 2, 2])
"""(A,) position in ``KINDS``; -1: nothing was done."""
SIGNALS: Final = ("engagement", "resonance", "explicit_feedback")
HISTORY: Final = 10
EMOTION_WIDTH: Final = 128

SIGNAL_FORMS: Final = (
    (0.0, 1.0, False, Silence.ZERO),
    (0.0, 1.0, True, Silence.MISSING),
    (0.0, 1.0, True, Silence.MISSING),
)
CONTEXT: Final = (
    ("emotion", FieldKind.VECTOR, EMOTION_WIDTH, (-1.0, 1.0)),
    ("recent_interactions", FieldKind.HISTORY, HISTORY, None),
    ("heart_rate", FieldKind.NUMBER, 1, (40.0, 180.0)),
    ("pulse_variability", FieldKind.NUMBER, 1, (0.0, 200.0)),
    ("hour", FieldKind.CYCLE, 1, 24.0),
    ("weekday", FieldKind.CYCLE, 1, 7.0),
    ("week", FieldKind.CYCLE, 1, 53.0),
    ("connections", FieldKind.NUMBER, 1, (0.0, 50.0)),
    ("active_connections", FieldKind.NUMBER, 1, (0.0, 50.0)),
    ("age_group", FieldKind.CATEGORY, 1, AGE_GROUPS),
)


def weights_of(loop: LoopSpec) -> Float:
    """(3,) the signals' weights in the reward."""
    return np.array([signal.weight for signal in loop.signals])
