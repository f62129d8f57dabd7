"""Slates as arrays: the mean descriptors of the people whom pairings suggested.

Only numbers are read of an episode's arguments, never whom they name. Where the service drew the slate,
its propensity is recomputed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from everloop.contracts.actions import (
    DESCRIPTORS,
    SLATE,
    SLATE_PROPENSITY,
    ActionKind,
    CandidateSpec,
)
from everloop.contracts.datasets import Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldFixEpisode
from everloop.contracts.loop_spec import ActionSpec
from rl.slates.evidence import SlateEvidence

TOLERANCE = 1e-5
"""How far a logged propensity of a slate may be from the recomputed one, relative to it."""


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
        ShouldFixEpisode: naming the episode and the value; a propensity that was not recomputed is one.
    """
    means = np.zeros((len(action), len(declared.descriptors)), dtype=np.float32)
    pairs = np.array([a.kind is ActionKind.SUGGEST_PAIRING for a in actions], dtype=np.bool_)
    for row in np.flatnonzero(pairs[action]).tolist():
        said = _arguments(arguments[row].as_py(), name(row))
        people = _people(said, name(row))
        if SLATE in said:
            _require_recomputed(said, name(row))
        if people:
            means[row] = np.mean([_numbers(declared, one, name(row)) for one in people], axis=0)
    return means


def _arguments(text: object, episode: str) -> dict[str, Any]:
    try:
        said = orjson.loads(text) if isinstance(text, str) else None
    except ValueError as problem:
        raise ShouldFixEpisode(
            f"{episode}: action_arguments is not JSON ({problem}).", "Log an object."
        ) from None
    if not isinstance(said, dict):
        raise ShouldFixEpisode(f"{episode}: action_arguments is not an object.", "Log an object.")
    return said


def _people(said: dict[str, Any], episode: str) -> list[object]:
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


def _require_recomputed(said: dict[str, Any], episode: str) -> None:
    place = f"{episode}: action_arguments"
    try:
        kept, share = said[SLATE], float(said[SLATE_PROPENSITY])
        evidence = SlateEvidence(
            tuple(map(float, kept["scores"])),
            None if kept["rest"] is None else float(kept["rest"]),
            int(kept["candidates"]),
            float(kept["epsilon"]),
        )
    except (KeyError, TypeError, ValueError, ShouldFixArgument) as problem:
        raise ShouldFixEpisode(
            f"{place}.{SLATE} recomputes no propensity ({problem}).",
            "Leave the arguments of a drawn slate as they were answered.",
        ) from None
    found = math.exp(evidence.log_propensity)
    if not abs(share - found) <= TOLERANCE * found:
        raise ShouldFixEpisode(
            f"{place}.{SLATE_PROPENSITY}={share:.9g} disagrees with the {found:.9g} that its "
            "evidence recomputes.",
            "Find out who changed it; leave the episode out.",
        )
