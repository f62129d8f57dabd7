"""The loop that the population speaks: its actions, signals and context, and no other's."""

from __future__ import annotations

from typing import Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec, Silence
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

_SIGNAL_FORMS = (
    (0.0, 1.0, False, Silence.ZERO),
    (0.0, 1.0, True, Silence.MISSING),
    (0.0, 1.0, True, Silence.MISSING),
)
_CONTEXT = (
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


def require_companion(loop: LoopSpec) -> None:
    """Refuse a loop that these people do not speak.

    Raises:
        ShouldFixArgument: naming the loop and what of it differs.
    """
    forms = tuple((s.low, s.high, s.two_sided, s.silence) for s in loop.signals)
    context = tuple((f.name, f.kind, f.width, _bounds(f)) for f in loop.context)
    for name, given, wanted in (
        ("actions", loop.action_ids, ACTIONS),
        ("signals", loop.signal_names, SIGNALS),
        ("forms of signals", forms, _SIGNAL_FORMS),
        ("context", context, _CONTEXT),
    ):
        if given != wanted:
            raise ShouldFixArgument(
                f"The population does not speak loop {loop.name!r}: its {name} are {given!s:.200}, "
                f"not {wanted!s:.200}.",
                "Play it with the shipped companion loop.",
            )


def _bounds(field: ContextField) -> object:
    if field.kind is FieldKind.CATEGORY:
        return field.choices
    if field.kind is FieldKind.CYCLE:
        return field.period
    return None if field.kind is FieldKind.HISTORY else (field.low, field.high)


def weights_of(loop: LoopSpec) -> Float:
    """(3,) the signals' weights in the reward."""
    return np.array([signal.weight for signal in loop.signals])


def valid_actions(connected: Bool) -> Bool:
    """(n, A) everything, but no pairing for people without connections."""
    valid = np.ones((len(connected), len(ACTIONS)), dtype=np.bool_)
    valid[:, list(PAIRINGS)] = connected[:, None]
    return valid
