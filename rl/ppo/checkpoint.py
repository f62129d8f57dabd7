"""Checkpoints of a training in progress: safetensors and JSON, enough to continue bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from everloop.contracts import documents
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.figures import TrainingPoint

Array = NDArray[np.float32]

RECORD_FILE = "checkpoint.json"


@dataclass(frozen=True, slots=True)
class TrainerState:
    """What learning carries from one iteration to the next; sampling carries nothing.

    Attributes:
        weights: parameter name -> values.
        optimizer: ``<parameter index>/<buffer>`` -> values.
        learning_rate: the optimizer's current rate.
    """

    weights: Mapping[str, Array]
    optimizer: Mapping[str, Array]
    learning_rate: float


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """Which iterations are finished, and the file that holds the state after them.

    ``fingerprint`` is the SHA-256 of everything that the training depends on.
    """

    fingerprint: str
    iterations: int
    file: str
    sha256: str
    learning_rate: float
    propensity_error: float
    curve: tuple[TrainingPoint, ...]
    schema_version: int = 1


def write(
    folder: Path,
    state: TrainerState,
    fingerprint: str,
    curve: tuple[TrainingPoint, ...],
    propensity_error: float,
) -> None:
    """Write a checkpoint; a kill at any moment leaves the one before or the new one, whole."""
    tensors = {f"weights/{name}": np.ascontiguousarray(a) for name, a in state.weights.items()}
    tensors |= {f"optimizer/{name}": np.ascontiguousarray(a) for name, a in state.optimizer.items()}
    path = folder / f"checkpoint-{len(curve)}.safetensors"
    documents.write_atomically(save(tensors), path)
    record = CheckpointRecord(
        fingerprint=fingerprint,
        iterations=len(curve),
        file=path.name,
        sha256=documents.sha256_of(path),
        learning_rate=state.learning_rate,
        propensity_error=propensity_error,
        curve=curve,
    )
    documents.write(record, folder / RECORD_FILE)
    for old in folder.glob("checkpoint-*.safetensors"):
        if old != path:
            old.unlink()


def read(folder: Path, fingerprint: str) -> tuple[CheckpointRecord, TrainerState] | None:
    """The checkpoint of this very training; ``None`` where there is none, or it is damaged.

    A checkpoint only saves time: what cannot be trusted is trained again from the start.
    """
    try:
        record = documents.read(CheckpointRecord, folder / RECORD_FILE)
        path = folder / record.file
        if record.fingerprint != fingerprint or documents.sha256_of(path) != record.sha256:
            return None
        tensors = load(path.read_bytes())
    except (ShouldRestoreArtefact, OSError, SafetensorError):
        return None
    groups: dict[str, dict[str, Array]] = {"weights": {}, "optimizer": {}}
    for key, values in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = values
    return record, TrainerState(groups["weights"], groups["optimizer"], record.learning_rate)
