"""Answers about people's rights, the audit log and the service's health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """What a person said once."""

    purpose: str
    granted: bool
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Consents:
    """What a person allows now, and what they said, newest first."""

    serve: bool
    train: bool
    history: tuple[ConsentRow, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was deleted (table -> rows), and the datasets and models that the person's data fed."""

    erasure_id: str
    recorded_at: datetime
    deleted: Mapping[str, int]
    datasets: tuple[str, ...]
    checkpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """One row that is kept of a person; ``problem`` says why a sealed part of it did not open."""

    table: str
    row: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One mutation, or one read of health data."""

    sequence: int
    at: datetime
    actor: str
    action: str
    resource: str
    rows: int
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, oldest first; ``next_after`` is where the next page begins."""

    entries: tuple[AuditEntry, ...]
    next_after: int


@dataclass(frozen=True, slots=True)
class Liveness:
    """The process answers."""

    status: str
    version: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the service; ``ok`` is false where requests would fail."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether requests would be served, part by part."""

    status: str
    parts: tuple[Part, ...]

    @property
    def ready(self) -> bool:
        """Whether every part is well."""
        return self.status == "ready"
