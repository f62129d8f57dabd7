"""Pairing models from their files."""

from __future__ import annotations

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import CandidateScorer
from everloop.registry.loading import VerifiedModel


def read_scorer(verified: VerifiedModel, spec: LoopSpec) -> CandidateScorer:
    """The scorer of a verified checkpoint.

    Raises:
        ShouldFixArgument: this version reads no pairing models.
    """
    raise ShouldFixArgument(
        f"Checkpoint {verified.checkpoint.checkpoint_id} of loop {spec.name!r} is a pairing model, "
        "which this version cannot read.",
        "Serve uniform slates, or update the service.",
    )
