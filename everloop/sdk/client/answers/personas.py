"""Answers about personas: who speaks, and what changed them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PersonaTrait:
    """Where a trait stands between its two ends, in [-1, 1].

    Attributes:
        moved: by how much since ``cycle_began``.
        recent: the last adjustments that people asked for, weighted, newest last.
    """

    name: str
    low: str
    high: str
    value: float
    moved: float
    cycle_began: str
    recent: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PersonaItem:
    """A fact or an exemplar that belongs to nobody, with where it comes from."""

    text: str = field(repr=False)
    source_id: str


@dataclass(frozen=True, slots=True)
class Persona:
    """A persona as it speaks now.

    Attributes:
        revision: its newest one; 0 before the first.
        sha256: of its content; empty before the first.
        personal_items: facts and exemplars of people, which only their own conversations meet.
        prompt: what the system turn says at the beginning of a conversation.
    """

    persona: str
    revision: int
    sha256: str
    recorded_at: datetime | None
    traits: tuple[PersonaTrait, ...]
    exemplars: tuple[PersonaItem, ...]
    memory: tuple[PersonaItem, ...]
    personal_items: int
    prompt: str


@dataclass(frozen=True, slots=True)
class PersonaChange:
    """One revision. ``undoes``: whose effect it took back; ``erased``: somebody's texts were taken out."""

    number: int
    recorded_at: datetime
    cause: str
    reason: str
    sha256: str
    undoes: int | None
    erased: bool


@dataclass(frozen=True, slots=True)
class PersonaChanges:
    """Newest first."""

    revisions: tuple[PersonaChange, ...]
