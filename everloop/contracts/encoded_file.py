"""``EncodedEpisodes`` as one safetensors file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldRestoreArtefact

_STRINGS = ("episode_id", "people")


def _to_bytes(strings: NDArray[np.str_]) -> NDArray[np.uint8]:
    width = max((len(s) for s in strings), default=1)
    return strings.astype(f"S{width}").view(np.uint8).reshape(len(strings), width)


def save_encoded(episodes: EncodedEpisodes, path: Path | str) -> Path:
    """Write atomically; ids are ASCII."""
    tensors = {
        field.name: _to_bytes(value) if field.name in _STRINGS else np.ascontiguousarray(value)
        for field in dataclasses.fields(episodes)
        if isinstance(value := getattr(episodes, field.name), np.ndarray)
    }
    return write_atomically(save(tensors, metadata={"encoder": episodes.encoder}), Path(path))


def load_encoded(path: Path | str) -> EncodedEpisodes:
    """Read what ``save_encoded`` wrote; ``ShouldRestoreArtefact`` when it is missing or damaged."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            encoder = file.metadata()["encoder"]
        for name in _STRINGS:
            raw = np.ascontiguousarray(tensors[name])
            tensors[name] = raw.view(f"S{raw.shape[1]}").reshape(len(raw)).astype(np.str_)
        return EncodedEpisodes(**tensors, encoder=encoder)
    except (OSError, SafetensorError, KeyError, TypeError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no encoded episodes ({problem}).", "Rerun aggregate_rewards."
        ) from problem
