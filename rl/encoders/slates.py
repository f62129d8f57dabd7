"""Slates as arrays: the mean descriptors of the people whom pairings suggested.

Only ``descriptors`` is read of an episode's arguments, never whom they name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import orjson
import pyarrow as pa

from everloop.contracts.actions import ActionKind, CandidateSpec
from everloop.contracts.datasets import Float32, Int
from everloop.contracts.errors import ShouldFixEpisode
from everloop.contracts.loop_spec import ActionSpec

DESCRIPTORS = "descriptors"
"""Argument of a pairing: one list of numbers per suggested person, in the order of the slate."""


def slates(
    actions: Sequence[ActionSpec],
    declared: CandidateSpec,
    arguments: pa.Array,
    action: Int,
    name: Callable[[int], str],
) -> Float32:
    """(n, Z) mean descriptors; 0 for other actions and where none were logged.

    Args:
        actions: the loop's catalogue.
        declared: how the loop describes people.
        arguments: n JSON texts.
        action: (n,) catalogue positions.
        name: what an error calls a row.

    Raises:
        ShouldFixEpisode: naming the episode and the value.
    """
    means = np.zeros((len(action), len(declared.descriptors)), dtype=np.float32)
    pairs = np.array([a.kind is ActionKind.SUGGEST_PAIRING for a in actions], dtype=np.bool_)
    for row in np.flatnonzero(pairs[action]).tolist():
        people = _people(arguments[row].as_py(), name(row))
        if people:
            means[row] = np.mean([_numbers(declared, one, name(row)) for one in people], axis=0)
    return means


def _people(text: object, episode: str) -> list[object]:
    try:
        said = orjson.loads(text) if isinstance(text, str) else None
    except ValueError as problem:
        raise ShouldFixEpisode(
            f"{episode}: action_arguments is not JSON ({problem}).", "Log an object."
        ) from None
    if not isinstance(said, dict):
        raise ShouldFixEpisode(f"{episode}: action_arguments is not an object.", "Log an object.")
    people = said.get(DESCRIPTORS)
    if people is None:
        return []
    if not isinstance(people, list):
        raise ShouldFixEpisode(
            f"{episode}: action_arguments.{DESCRIPTORS}={people!r:.80} is not a list.",
            "Log one list of numbers per suggested person, or leave it out.",
        )
    return people


def _numbers(declared: CandidateSpec, given: object, episode: str) -> tuple[float, ...]:
    try:
        return declared.numbers(given)
    except ValueError as problem:
        raise ShouldFixEpisode(
            f"{episode}: action_arguments.{DESCRIPTORS}: {problem}.",
            "Describe each suggested person by what the loop declares, or leave it out.",
        ) from None
