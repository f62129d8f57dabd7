"""Answers about a voice: its versions, and what it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class VoiceVersion:
    """One adapter of a persona.

    Attributes:
        status: ``active``, ``experimental`` until it serves, or ``archived``.
        instances: how many training instances it learned from that are still stored.
        forgets: instances of people erased since that it learned from; above 0 the next run begins anew.
        data_until: when what it learned from ended; ``None``: when it was made.
    """

    model_id: str
    persona: str
    base_model_name: str
    version_number: int
    creation_date: datetime
    data_until: datetime | None
    continued_from: str | None
    status: str
    instances: int
    forgets: int
    performance_metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class VoiceVersions:
    """Newest first."""

    versions: tuple[VoiceVersion, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: str
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LearnedInstance:
    """What a voice learned from; ``category`` and ``augmented`` are for analysis and in no text."""

    instance_id: str
    source_type: str
    source_ids: tuple[str, ...]
    task: str
    prompt: tuple[Turn, ...] = field(repr=False)
    completion: str = field(repr=False)
    rejected: str | None = field(repr=False)
    liked: bool | None
    weight: float
    category: str
    augmented: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class SpokenAnswer:
    """What the voice said, and what said it.

    Attributes:
        log_id: what feedback on it names.
        model_version: adapter and prompt.
        arm: ``active``, or the one on trial that this person hears.
        response_ms: milliseconds that it took the service.
        screened: the voice's own answer could not be shown: this is a safe sentence, in a stream after what
            of the answer was sent before.
    """

    log_id: str
    loop: str
    persona: str
    text: str = field(repr=False)
    model_version: str
    arm: str
    tokens_in: int
    tokens_out: int
    response_ms: float
    screened: bool


@dataclass(frozen=True, slots=True)
class SourceInstances:
    """Everything that was made of a source."""

    instances: tuple[LearnedInstance, ...]
