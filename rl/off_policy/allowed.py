"""What policies that are judged may do at logged states: the actions of then that today's flags leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from rl.constraints.rules import constraints_of


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """The actions that a judged policy may take at n logged states.

    Attributes:
        mask: (n, A) logged as valid and not excluded by a flag; as logged where a flag leaves nothing.
        excluded: (n,) whether a flag excludes the logged action: no judged policy takes it there.
        kept: (n,) whether the flags would have left nothing, so that the row stays as logged.
    """

    mask: Bool
    excluded: Bool
    kept: Bool


def allowed(spec: LoopSpec, episodes: EncodedEpisodes) -> Allowed:
    """Apply the flags of ``spec.constraints`` to the masks that were logged.

    A policy would serve under today's flags, whatever was valid when a decision was logged. Limits per
    person cannot be replayed: what a person had met before depends on the policy, so they stay as logged.

    Raises:
        ShouldFixArgument: the loop declares flags and the contexts are not those of its encoder.
    """
    logged = episodes.mask
    nowhere = np.zeros(len(episodes), dtype=np.bool_)
    if not spec.constraints.flags:
        return Allowed(logged, nowhere, nowhere)
    rules = constraints_of(spec)
    if episodes.context.shape[1] != rules.width:
        raise ShouldFixArgument(
            f"Contexts have {episodes.context.shape[1]} dimensions, loop {spec.name!r} encodes "
            f"{rules.width}: its flags cannot be read from them.",
            "Encode the episodes with the loop's encoder.",
        )
    left = rules.unflagged(logged, episodes.context)
    kept = np.asarray(~left.any(axis=1))
    left[kept] = logged[kept]
    taken = left[np.arange(len(episodes)), episodes.action]
    return Allowed(left, ~taken, kept)
