"""Pairing models from their checkpoints."""

from __future__ import annotations

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import CandidateScorer
from everloop.registry.loading import VerifiedModel
from rl.slates.scorer import load_scorer


def read_scorer(verified: VerifiedModel, spec: LoopSpec) -> CandidateScorer:
    """The scorer of a verified checkpoint, whose served file is a pairing model as ``rl.slates`` exports.

    Raises:
        ShouldRestoreArtefact: the file is no pairing model.
        ShouldFixArgument: it was made for another loop, encoder or descriptors.
    """
    return load_scorer(verified.weights, verified.checkpoint.weights_sha256, spec)
