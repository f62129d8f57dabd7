"""A batch of profiles as a file, and as rows of ``synthetic_profiles``."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.datasets import EncodingLayout
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource, SyntheticProfile
from everloop.contracts.simulation import ProfileBatch
from synthetic.profiles.persona_space import persona_projection
from synthetic.profiles.traits import traits_of

_NAMESPACE = uuid.UUID("6f1b7c52-2f0e-4d8e-9a53-3a4a8a1f7c10")
"""Of profile ids; a constant, so that the same release gives the same ids."""


def save_profiles(path: Path | str, profiles: ProfileBatch) -> Path:
    """Write a batch as safetensors, atomically."""
    tensors = {"context": profiles.context, "mask": profiles.mask, "weight": profiles.weight}
    optional = {"edge": profiles.edge, "persona": profiles.persona}
    tensors |= {name: array for name, array in optional.items() if array is not None}
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    metadata = {"everloop": f"{profiles.encoder}\n{profiles.release_id}"}
    return write_atomically(save(contiguous, metadata=metadata), Path(path))


def load_profiles(path: Path | str) -> ProfileBatch:
    """Read what ``save_profiles`` wrote; ``ShouldRestoreArtefact`` when it is damaged."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            encoder, release_id = file.metadata()["everloop"].split("\n")
        return ProfileBatch(**tensors, encoder=encoder, release_id=release_id)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no profiles ({problem}).", "Rerun generate_profiles."
        ) from problem


def to_rows(
    profiles: ProfileBatch, layout: EncodingLayout, spec: LoopSpec
) -> Iterator[SyntheticProfile]:
    """Rows of ``synthetic_profiles``, source generated.

    ``persona_vector`` is the batch's; without one it is the profile's context under the public
    projection, which holds what the context holds and nothing more. ``traits`` say the context in the
    specification's words and units. No journey has been simulated yet, so ``interaction_history`` is
    empty.
    """
    vectors = profiles.persona
    if vectors is None:
        projected = profiles.context.astype(np.float64) @ persona_projection(layout.width)
        vectors = projected.astype(np.float32)
    for index, traits in enumerate(traits_of(spec, layout, profiles.context)):
        yield SyntheticProfile(
            profile_id=str(uuid.uuid5(_NAMESPACE, _name(profiles, index))),
            persona_vector=tuple(float(v) for v in vectors[index]),
            traits=traits,
            interaction_history=(),
            source=ProfileSource.GENERATED,
            release_id=profiles.release_id,
        )


def _name(profiles: ProfileBatch, index: int) -> str:
    """Release, position and person: other people drawn from the same release are other rows."""
    person = hashlib.sha256(profiles.context[index].tobytes()).hexdigest()
    return f"{profiles.release_id}/{index}/{person}"
