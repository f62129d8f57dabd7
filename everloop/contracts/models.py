"""Trained artefacts: ``model_checkpoints``, ``synthetic_profiles``, and runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from everloop.contracts.datasets import Bool, Float, Float32
from everloop.contracts.episodes import Json


class ModelType(StrEnum):
    """The specification's three, of which ``intervention`` is the policy, and what speaks: an adapter
    and the persona graph that prompts are built from."""

    PAIRING = "pairing"
    EMOTION = "emotion"
    INTERVENTION = "intervention"
    ADAPTER = "adapter"
    PROMPT = "prompt"


class Provenance(StrEnum):
    """Whether an artefact may leave the trust boundary: what private releases alone made, and, for a voice
    alone, what was made of texts that people gave to teach it."""

    PRIVATE_RELEASE = "private_release"
    CONSENTED_TEXT = "consented_text"
    RAW_LOG = "raw_log"


@dataclass(frozen=True, slots=True)
class ModelCheckpoint:
    """A trained model, its files by checksum and everything it was made from.

    Attributes:
        checkpoint_id: UUID derived from the files and the lineage: the same training, the same id.
        weights_url: address of the blob that holds the served form (ONNX).
        weights_sha256: checksum that is verified before every load.
        performance_metrics: name -> figure, measured.
        active: whether the ``active`` alias points here.
        lineage: name -> id or checksum (dataset, user_model_release, loop_spec, code, encoder, seed).
        verdict: the gate's decision when it was registered ("continue" or "hold").
    """

    checkpoint_id: str
    model_type: ModelType
    loop: str
    weights_url: str
    weights_sha256: str
    performance_metrics: Mapping[str, float]
    training_date: datetime
    provenance: Provenance
    lineage: Mapping[str, str]
    verdict: str
    active: bool = False
    tenant: str = "default"
    files: Mapping[str, str] = field(default_factory=dict)
    """File name -> SHA-256 of its blob (weights, card, encoder)."""
    schema_version: int = 1


class ProfileSource(StrEnum):
    GENERATED = "generated"
    AUGMENTED = "augmented"
    REAL = "real"


@dataclass(frozen=True, slots=True)
class SyntheticProfile:
    """A person who does not exist; a row of ``synthetic_profiles``."""

    profile_id: str
    persona_vector: tuple[float, ...]
    traits: Mapping[str, Json]
    interaction_history: tuple[Mapping[str, Json], ...]
    source: ProfileSource
    release_id: str
    schema_version: int = 1


_INSIDE = uuid.UUID("a1d6c7f0-52b9-4c35-8f0b-0d6d5f3f6f21")


def inside_profile_id(person: str, variation: str = "real") -> str:
    """Id of a profile that was made from a person's own data, so that an erasure finds it.

    Args:
        person: pseudonym.
        variation: ``real``, or ``<seed>/<position>`` of an augmented one.
    """
    return str(uuid.uuid5(_INSIDE, f"{person}/{variation}"))


@dataclass(frozen=True, slots=True)
class PolicyOutput:
    """What a policy says of n states.

    logits (n, A) with invalid actions at a large negative number; propensity (n, A) with which each
    action is taken, exploration included (rows sum to 1, 0 on invalid actions); value (n,).
    """

    logits: Float
    propensity: Float
    value: Float


@dataclass(frozen=True, slots=True)
class States:
    """n encoded states with their action masks."""

    context: Float32
    mask: Bool


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage of a run, as it is shown and kept."""

    stage: str
    outcome: Literal["succeeded", "cached", "skipped", "failed"]
    seconds: float
    summary: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    artefacts: Mapping[str, str] = field(default_factory=dict)
    """Artefact name -> address."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a graph for a logical date."""

    run_id: str
    pipeline: str
    loop: str
    logical_date: str
    started_at: datetime
    finished_at: datetime | None
    status: Literal["running", "succeeded", "failed"]
    verdict: str
    parameters: Mapping[str, Json]
    stages: tuple[StageRecord, ...]
    report: str
    tenant: str = "default"
