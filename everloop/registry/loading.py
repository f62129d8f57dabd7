"""A checkpoint's files, each verified before it is handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.contracts.ports import BlobStore, Registry

ACTIVE = "active"
"""The alias of the policy that serves."""
ACTIVE_PAIRING = "active-pairing"
"""The alias of the pairing model that scores candidates beside it."""
ACTIVE_EMOTION = "active-emotion"
"""The alias of the model of emotions."""
ACTIVE_ADAPTER = "active-adapter"
"""The alias of the adapter that speaks."""
ACTIVE_PROMPT = "active-prompt"
"""The alias of the persona graph that its prompts are built from."""

_ACTIVE = {
    ModelType.INTERVENTION: ACTIVE,
    ModelType.PAIRING: ACTIVE_PAIRING,
    ModelType.EMOTION: ACTIVE_EMOTION,
    ModelType.ADAPTER: ACTIVE_ADAPTER,
    ModelType.PROMPT: ACTIVE_PROMPT,
}


def active_alias(kind: ModelType) -> str:
    """The alias under which models of a kind serve; each loop and tenant has one of each."""
    return _ACTIVE[kind]


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """A checkpoint whose files were all found to be what it registered.

    ``weights`` is the served form; ``files`` maps every file name to a local path.
    """

    checkpoint: ModelCheckpoint
    weights: Path
    files: Mapping[str, Path]

    def file(self, name: str) -> Path:
        """One file by name; ``ShouldFixArgument`` when the checkpoint has none of it."""
        if name not in self.files:
            raise ShouldFixArgument(
                f"Checkpoint {self.checkpoint.checkpoint_id} has no file {name!r}.",
                f"It has: {', '.join(sorted(self.files))}.",
            )
        return self.files[name]


def verified(checkpoint: ModelCheckpoint, blobs: BlobStore) -> VerifiedModel:
    """Fetch every file of a checkpoint and compare its checksum.

    Raises:
        ShouldRestoreArtefact: a file is missing or damaged; nothing of the checkpoint is used.
    """
    weights = blobs.fetch(checkpoint.weights_url, checkpoint.weights_sha256)
    files = {
        name: blobs.fetch(_address(checkpoint, sha256), sha256)
        for name, sha256 in checkpoint.files.items()
    }
    return VerifiedModel(checkpoint=checkpoint, weights=weights, files=files)


def load(checkpoint_id: str, registry: Registry, blobs: BlobStore) -> VerifiedModel:
    """A registered checkpoint by id, verified; raises as ``verified`` does."""
    return verified(registry.checkpoint(checkpoint_id), blobs)


def load_alias(
    loop: str,
    registry: Registry,
    blobs: BlobStore,
    alias: str = ACTIVE,
    tenant: str = "default",
) -> VerifiedModel | None:
    """The model that an alias points at, verified; ``None`` while it points at none."""
    current, _ = registry.alias(loop, alias, tenant)
    return None if current is None else load(current, registry, blobs)


def _address(checkpoint: ModelCheckpoint, sha256: str) -> str:
    """Blobs are addressed by content: two addresses of a store differ in their checksum alone."""
    prefix = checkpoint.weights_url.removesuffix(checkpoint.weights_sha256)
    if prefix == checkpoint.weights_url:
        raise ShouldRestoreArtefact(
            f"Checkpoint {checkpoint.checkpoint_id}: weights_url={checkpoint.weights_url!r} does "
            f"not end with its checksum {checkpoint.weights_sha256}.",
            "Register the checkpoint again.",
        )
    return prefix + sha256
