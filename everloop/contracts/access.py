"""Who may call the service, and the record of who did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from everloop.contracts.episodes import Json


class Scope(StrEnum):
    """What a caller may do. ``admin`` manages keys, consents and erasures; it implies no other."""

    INGEST = "ingest"
    DECIDE = "decide"
    READ = "read"
    TRAIN = "train"
    DEPLOY = "deploy"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: a key (``key:<id>``) or a token's subject (``oidc:<sub>``)."""

    actor: str
    tenant: str
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: the secret itself is shown once and never stored."""

    key_id: str
    tenant: str
    name: str
    secret_sha256: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One mutation, or one read of health data. Never names a person.

    Attributes:
        action: verb and object, ``episodes.append``, ``model.deploy``, ``health.read``.
        resource: id of what was changed, or the range of ingest numbers ``first..last``.
        rows: how many rows it touched.
    """

    tenant: str
    sequence: int
    at: datetime
    actor: str
    action: str
    resource: str
    rows: int = 1
    detail: Mapping[str, Json] = field(default_factory=dict)
