"""The persona graph: a voice's traits, exemplars and memory, in revisions that can be undone.

A revision is written once. What serves is the newest one; undoing writes a new revision whose content is,
byte for byte, that of an earlier one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.feedback import FeedbackInstance


@dataclass(frozen=True, slots=True)
class TraitValue:
    """Where a trait stands, in [-1, 1], and the adjustments that its rolling average is over."""

    name: str
    value: float
    recent: tuple[float, ...] = ()
    """The last adjustments that people asked for, newest last."""
    moved: float = 0.0
    """By how much it moved since ``cycle_began``; its absolute value is capped."""
    cycle_began: str = ""
    """RFC 3339, UTC; empty before the first."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and -1.0 <= self.value <= 1.0):
            raise ShouldFixArgument(f"Trait {self.name}: value={self.value!r} leaves [-1, 1].")


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A praised or corrected answer that the prompt shows; ``source_id``: the feedback."""

    asked: str
    answered: str
    source_id: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """A fact that the voice remembers; with ``user_id`` for that person's conversations alone."""

    text: str
    source_id: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class PersonaGraph:
    """All that the prompt is built from; ``user_id`` for a twin's own graph."""

    persona: str
    traits: tuple[TraitValue, ...] = ()
    exemplars: tuple[Exemplar, ...] = ()
    memory: tuple[MemoryItem, ...] = ()
    user_id: str | None = None
    tenant: str = "default"
    schema_version: int = 1

    def trait(self, name: str) -> TraitValue | None:
        """The trait of that name; None where the graph has none."""
        return next((trait for trait in self.traits if trait.name == name), None)


@dataclass(frozen=True, slots=True)
class PersonaRevision:
    """A graph as it was written at one moment.

    Attributes:
        number: counts up from 1 for each persona (and person) of a tenant.
        content: the graph's canonical JSON; its SHA-256 is the version that answers carry.
        cause: the feedback, run or person behind it.
        undoes: revision whose effect it took back; None for any other.
        erased: an erasure took somebody's texts out: the content is not all that was written then, and
            undoing to it brings nobody's texts back.
    """

    number: int
    persona: str
    content: bytes
    cause: str
    reason: str
    recorded_at: datetime
    user_id: str | None = None
    undoes: int | None = None
    tenant: str = "default"
    erased: bool = False

    @property
    def sha256(self) -> str:
        """Of the content."""
        return hashlib.sha256(self.content).hexdigest()


class PersonaStore(Protocol):
    """Revisions of persona graphs, append-only."""

    def newest(
        self, persona: str, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision | None:
        """The revision that serves; None before the first."""

    def revision(
        self, persona: str, number: int, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision:
        """One revision; ``ShouldNameKnownId`` where there is none."""

    def revisions(
        self, persona: str, user_id: str | None = None, tenant: str = "default", limit: int = 100
    ) -> tuple[PersonaRevision, ...]:
        """The newest revisions, newest first."""

    def append(self, revision: PersonaRevision) -> PersonaRevision:
        """Write the next revision. The same cause on the same predecessor is written once.

        Raises:
            ShouldResolveConflict: its number is not the newest one's plus 1: read again and repeat.
        """

    def caused_by(
        self, persona: str, cause: str, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision | None:
        """The revision that a feedback or run caused; None where it caused none."""


@dataclass(frozen=True, slots=True)
class TeachingMark:
    """Up to where a tenant's feedback and people's decisions on it were read: stored numbers."""

    feedback: int = 0
    reviews: int = 0


class TeachingLog(Protocol):
    """Feedback that may move a persona, as it becomes known."""

    def marks(self) -> Mapping[str, TeachingMark]:
        """The present end of every tenant's log."""

    def teaching(
        self, persona: str, after: TeachingMark, until: TeachingMark, tenant: str = "default"
    ) -> Iterator[FeedbackInstance]:
        """Feedback on a persona that was stored as accepted, or released, after one mark and by the other,
        in stored order, what was released last; only people whose newest consent to training is not a
        refusal. One that caused a revision of the persona is not among it."""

    def moved(
        self, persona: str, user_id: str, since: datetime, tenant: str = "default"
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Contents before and after each revision of a persona that a person's feedback caused after a
        moment, oldest first; without those that changed nothing."""
