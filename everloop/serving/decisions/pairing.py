"""The pairing model as the service holds it: verified, tried once, and behind a breaker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from everloop.contracts.datasets import Float, Float32
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType
from everloop.contracts.ports import BlobStore, CandidateScorer, Registry
from everloop.registry.loading import VerifiedModel, load
from everloop.serving.decisions.breaker import CircuitBreaker
from everloop.serving.decisions.models import brief, require_servable
from rl.encoders.context import layout


@dataclass(frozen=True, slots=True)
class ServedPairing:
    """A loaded pairing model with the checkpoint that it came from."""

    checkpoint_id: str
    scorer: CandidateScorer
    breaker: CircuitBreaker

    @property
    def version(self) -> str:
        return self.scorer.version

    def scores(self, context: Float32, descriptors: Float) -> Float:
        """(K,) scores of (K, Z) descriptors for one (d,) state.

        Raises:
            ShouldRestoreArtefact: the answer is not one finite number per candidate.
            Exception: whatever else the model raises.
        """
        found = np.asarray(self.scorer.scores(context, descriptors), dtype=np.float64)
        if found.shape != (len(descriptors),) or not np.isfinite(found).all():
            raise ShouldRestoreArtefact(
                f"Pairing model {self.version} answered scores of shape {found.shape}, NaN or "
                f"infinity for {len(descriptors)} candidates.",
                "Deploy another pairing model.",
            )
        return found


class ScorerLoader(Protocol):
    """Reads a verified checkpoint's scorer for a loop, or raises an ``EverloopError``."""

    def __call__(self, verified: VerifiedModel, spec: LoopSpec) -> CandidateScorer: ...


class RegisteredPairings:
    """``Source`` of a workspace's pairing models: nothing scores whose files, origin or encoder are wrong.

    Args:
        registry, blobs: where checkpoints are.
        read: makes a scorer of a verified checkpoint.
        make_breaker: a breaker for each model.
    """

    def __init__(
        self,
        registry: Registry,
        blobs: BlobStore,
        read: ScorerLoader,
        make_breaker: Callable[[], CircuitBreaker] = CircuitBreaker,
    ) -> None:
        self._registry = registry
        self._blobs = blobs
        self._read = read
        self._make_breaker = make_breaker

    def __call__(self, checkpoint_id: str, tenant: str, spec: LoopSpec) -> ServedPairing:
        """Verify every file, load the model and let it score once.

        Raises:
            ShouldRestoreArtefact: a file is missing or damaged, or the model answers nonsense.
            ShouldFixArgument: the checkpoint belongs to another tenant, loop or encoder, is no pairing
                model, or was trained on the raw log.
        """
        verified = load(checkpoint_id, self._registry, self._blobs)
        require_servable(verified.checkpoint, ModelType.PAIRING, tenant, spec)
        scorer = self._read(verified, spec)
        encoding = layout(spec)
        if scorer.encoder != encoding.encoder:
            raise ShouldFixArgument(
                f"Pairing model {scorer.version} reads states of encoder {scorer.encoder!r}, and loop "
                f"{spec.name!r} has {encoding.encoder!r}.",
                "Train one for this specification.",
            )
        model = ServedPairing(checkpoint_id, scorer, self._make_breaker())
        _rehearse(model, spec, encoding.width)
        return model


def _rehearse(model: ServedPairing, spec: LoopSpec, width: int) -> None:
    described = 0 if spec.candidates is None else len(spec.candidates.descriptors)
    try:
        model.scores(np.zeros(width, dtype=np.float32), np.zeros((2, described)))
    except Exception as problem:
        raise ShouldRestoreArtefact(
            f"Pairing model {model.version} can't score ({brief(problem)}).", "Deploy another one."
        ) from problem
