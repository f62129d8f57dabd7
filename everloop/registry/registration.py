"""From a finished training to a registered checkpoint with checksums and lineage."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from everloop.contracts.episodes import canonical_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import BlobStore, Registry
from everloop.registry.identity import checkpoint_id

REQUIRED_LINEAGE = ("dataset", "user_model_release", "loop_spec", "code", "encoder", "seed")
VOICE_LINEAGE = ("dataset", "loop_spec", "code", "version")
"""Of what speaks: it reads no encoded state and is simulated with nobody."""
_SPEAKS = frozenset({ModelType.ADAPTER, ModelType.PROMPT})
VERDICTS = ("continue", "hold")
EVALUATION = "evaluation"
"""Lineage of the figures: SHA-256 of the metrics and the verdict, so that the same weights judged
anew under other thresholds are another checkpoint and no stored figure is ever replaced."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model before it is registered.

    Attributes:
        loop, tenant, model_type: what it serves.
        files: file name -> path of everything that belongs to it.
        served: name of the file that is served (ONNX); one of ``files``.
        performance_metrics: measured figures; those that are not finite were not measured and are
            left out of the checkpoint.
        lineage: name -> id or checksum; at least ``REQUIRED_LINEAGE``, of what speaks ``VOICE_LINEAGE``.
        provenance: what it was trained on.
        verdict: the gate's decision, one of ``VERDICTS``.
        training_date: when it was trained, UTC.

    Raises:
        ShouldFixArgument: naming the field and its value.
    """

    loop: str
    model_type: ModelType
    files: Mapping[str, Path]
    served: str
    performance_metrics: Mapping[str, float]
    lineage: Mapping[str, str]
    provenance: Provenance
    verdict: str
    training_date: datetime
    tenant: str = "default"

    def __post_init__(self) -> None:
        if self.served not in self.files:
            raise ShouldFixArgument(
                f"Candidate of {self.loop}: served={self.served!r} is not among its files "
                f"({', '.join(sorted(self.files)) or 'none'}).",
                "Name the file that holds the served form.",
            )
        required = VOICE_LINEAGE if self.model_type in _SPEAKS else REQUIRED_LINEAGE
        missing = [name for name in required if not self.lineage.get(name)]
        if missing:
            raise ShouldFixArgument(
                f"Candidate of {self.loop}: lineage lacks {', '.join(missing)}.",
                "Say what it was made from.",
            )
        if self.verdict not in VERDICTS:
            raise ShouldFixArgument(
                f"Candidate of {self.loop}: verdict={self.verdict!r} is unknown.",
                f"Register the gate's decision, one of {', '.join(VERDICTS)}.",
            )
        if self.training_date.tzinfo is None:
            raise ShouldFixArgument(
                f"Candidate of {self.loop}: training_date={self.training_date} has no time zone.",
                "Give it in UTC.",
            )


def register(candidate: Candidate, registry: Registry, blobs: BlobStore) -> ModelCheckpoint:
    """Store a candidate's files by content and register it; registering it again changes nothing.

    Raises:
        ShouldRestoreArtefact: a file is missing.
        ShouldFreeDisk: a file did not fit; nothing is registered.
    """
    stored = {name: blobs.put(path) for name, path in sorted(candidate.files.items())}
    checksums = {name: sha256 for name, (_, sha256) in stored.items()}
    metrics = {
        name: float(value)
        for name, value in candidate.performance_metrics.items()
        if math.isfinite(value)
    }
    judged = canonical_json({"metrics": metrics, "verdict": candidate.verdict})
    lineage = {
        **candidate.lineage,
        EVALUATION: hashlib.sha256(judged.encode()).hexdigest(),
    }
    url, sha256 = stored[candidate.served]
    return registry.register(
        ModelCheckpoint(
            checkpoint_id=checkpoint_id(
                candidate.loop, candidate.tenant, candidate.model_type, checksums, lineage
            ),
            model_type=candidate.model_type,
            loop=candidate.loop,
            weights_url=url,
            weights_sha256=sha256,
            performance_metrics=metrics,
            training_date=candidate.training_date,
            provenance=candidate.provenance,
            lineage=lineage,
            verdict=candidate.verdict,
            tenant=candidate.tenant,
            files=checksums,
        )
    )
