"""Which pairings so many candidates can fill."""

from __future__ import annotations

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool
from everloop.contracts.loop_spec import LoopSpec


def enough_people(spec: LoopSpec, candidates: int) -> Bool:
    """(A,) mask over the catalogue: False for pairings of more people than there are candidates."""
    return np.array(
        [
            action.kind is not ActionKind.SUGGEST_PAIRING or (action.people or 0) <= candidates
            for action in spec.actions
        ],
        dtype=np.bool_,
    )
