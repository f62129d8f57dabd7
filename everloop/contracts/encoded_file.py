"""``EncodedEpisodes`` as one safetensors file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.documents import atomically
from everloop.contracts.errors import ShouldRestoreArtefact

_STRINGS = ("episode_id", "people")
_KINDS = {"<i8": "I64", "<f8": "F64", "<f4": "F32", "|u1": "U8", "|b1": "BOOL"}
"""Types of elements by the format's names, in the order in which the format lays their arrays out: the
widest first, so that every array lies aligned."""
_ROWS = 65_536
"""Rows that are written at once."""


def save_encoded(episodes: EncodedEpisodes, path: Path | str) -> Path:
    """Write atomically, array by array, so that no second copy of them is held; ids are ASCII."""
    arrays = {
        field.name: value
        for field in dataclasses.fields(episodes)
        if isinstance(value := getattr(episodes, field.name), np.ndarray)
    }
    target = Path(path)
    with atomically(target) as stream:
        _write(stream, arrays, {"encoder": episodes.encoder})
    return target


def _write(
    stream: BinaryIO, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """The file's format: the length of a JSON header (8 bytes, little-endian), the header, the arrays by
    the kinds of their elements and by name."""
    widths = {name: _id_width(value) for name, value in arrays.items() if name in _STRINGS}
    order = list(_KINDS)
    kinds = {name: "|u1" if name in widths else array.dtype.str for name, array in arrays.items()}
    names = sorted(arrays, key=lambda name: (order.index(kinds[name]), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        array = arrays[name]
        shape = [*array.shape, widths[name]] if name in widths else list(array.shape)
        start, end = end, end + np.dtype(kinds[name]).itemsize * math.prod(shape)
        kind = _KINDS[kinds[name]]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    told = json.dumps(header, separators=(",", ":")).encode()
    told += b" " * (-len(told) % 8)
    stream.write(len(told).to_bytes(8, "little"))
    stream.write(told)
    for name in names:
        for start in range(0, len(arrays[name]), _ROWS):
            part = arrays[name][start : start + _ROWS]
            if name in widths:
                part = part.astype(f"S{widths[name]}")
            stream.write(np.ascontiguousarray(part).tobytes())


def _id_width(ids: NDArray[np.str_]) -> int:
    """Characters of the longest, at least 1."""
    return max(1, int(np.char.str_len(ids).max(initial=0)))


def load_encoded(path: Path | str) -> EncodedEpisodes:
    """Read what ``save_encoded`` wrote; ``ShouldRestoreArtefact`` when it is missing or damaged."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            encoder = file.metadata()["encoder"]
        for name in _STRINGS:
            raw = np.ascontiguousarray(tensors.pop(name))
            tensors[name] = raw.view(f"S{raw.shape[1]}").reshape(len(raw)).astype(np.str_)
        return EncodedEpisodes(**tensors, encoder=encoder)
    except (OSError, SafetensorError, KeyError, TypeError) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no encoded episodes ({problem}).", "Rerun aggregate_rewards."
        ) from problem
