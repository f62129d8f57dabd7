"""A batch of profiles as a file, and as rows of ``synthetic_profiles``."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from pathlib import Path

import numpy as np
import orjson
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.datasets import EncodingLayout
from everloop.contracts.documents import write_atomically
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource, SyntheticProfile
from everloop.contracts.simulation import ProfileBatch
from synthetic.profiles.persona_space import persona_projection
from synthetic.profiles.traits import traits_of

_NAMESPACE = uuid.UUID("6f1b7c52-2f0e-4d8e-9a53-3a4a8a1f7c10")
"""Of profile ids; a constant, so that the same row has the same id."""

History = tuple[Mapping[str, Json], ...]
"""A person's interactions, oldest first."""


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
    profiles: ProfileBatch,
    layout: EncodingLayout,
    spec: LoopSpec,
    histories: Iterable[History] | None = None,
    place: str = "",
) -> Iterator[SyntheticProfile]:
    """Rows of ``synthetic_profiles``, source generated.

    ``persona_vector`` is the batch's; without one it is the profile's context under the public
    projection, which holds what the context holds and nothing more. ``traits`` say the context in the
    specification's words and units. ``profile_id`` follows from the release, the place and everything
    that the row says: the same row has the same id, and another row has another.

    Args:
        profiles: the people.
        layout: what their contexts' dimensions mean.
        spec: the loop.
        histories: their interactions in the same order (``synthetic.journeys.histories``); ``None``
            where no journey was played.
        place: where the batch is among those of its release, such as a seed and a chunk.
    """
    vectors = profiles.persona
    if vectors is None:
        projected = profiles.context.astype(np.float64) @ persona_projection(layout.width)
        vectors = projected.astype(np.float32)
    told = repeat((), len(profiles)) if histories is None else histories
    every = traits_of(spec, layout, profiles.context)
    for index, (traits, history) in enumerate(zip(every, told, strict=True)):
        vector = tuple(float(v) for v in vectors[index])
        said = hashlib.sha256(orjson.dumps([vector, traits, history])).hexdigest()
        name = f"{profiles.release_id}/{place}/{index}/{said}"
        yield SyntheticProfile(
            profile_id=str(uuid.uuid5(_NAMESPACE, name)),
            persona_vector=vector,
            traits=traits,
            interaction_history=history,
            source=ProfileSource.GENERATED,
            release_id=profiles.release_id,
        )
