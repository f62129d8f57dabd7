"""Who may call the service, and the record of who did."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import urlsplit

from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.errors import ShouldFixArgument

TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
"""What a tenant may be called."""

_KEY_ID = re.compile(r"[a-z0-9]{8,32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ACTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_PSEUDONYM = re.compile(r"(?<!sha256[:/])(?<![0-9a-fA-F])[0-9a-f]{64}(?![0-9a-fA-F])")
_LONGEST_ACTION = 63
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


def without_people(text: str) -> str:
    """A text as an audit entry takes it: what looks like a pseudonym is left out."""
    return _PSEUDONYM.sub("...", text)


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
    secret_sha256: str = field(repr=False)
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.key_id):
            raise ShouldFixArgument(
                f"Key id {self.key_id!r} is not 8 to 32 lower-case letters and digits."
            )
        if not TENANT_NAME.fullmatch(self.tenant):
            raise ShouldFixArgument(
                f"Tenant {self.tenant!r} is no name.",
                "Use 1 to 63 letters, digits, '_', '.' and '-', the first a letter or digit.",
            )
        if not self.name.strip():
            raise ShouldFixArgument("The key has no name.", "Say what the key is for.")
        if not _SHA256.fullmatch(self.secret_sha256):
            raise ShouldFixArgument("secret_sha256 is no checksum of 64 hexadecimal digits.")
        if not self.scopes:
            raise ShouldFixArgument(
                "The key has no scope.", f"Name one or more of: {', '.join(Scope)}."
            )
        for moment in (self.created_at, self.expires_at, self.revoked_at):
            if moment is not None and moment.tzinfo is None:
                raise ShouldFixArgument(
                    f"{moment.isoformat()} has no time zone.", "Give it in UTC."
                )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One mutation, or one read of health data. Never names a person.

    A bare word of 64 hexadecimal digits is what a pseudonym looks like and is refused in
    ``resource`` and ``detail``; content addresses are written ``sha256:<digits>``.

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

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ShouldFixArgument(f"{self.at.isoformat()} has no time zone.", "Give it in UTC.")
        object.__setattr__(self, "at", self.at.astimezone(UTC))
        if len(self.action) > _LONGEST_ACTION or not _ACTION.fullmatch(self.action):
            raise ShouldFixArgument(
                f"action={self.action!r} is no verb and object.", "Write it as episodes.append."
            )
        if self.rows < 0:
            raise ShouldFixArgument(f"rows={self.rows} is below 0.")
        if _PSEUDONYM.search(self.resource) or _PSEUDONYM.search(canonical_json(dict(self.detail))):
            raise ShouldFixArgument(
                f"The audit entry of {self.action} would name a person.",
                "Name rows by their ids; write content addresses as sha256:<digits>.",
            )


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """The OpenID provider whose tokens the service takes.

    Attributes:
        issuer: what ``iss`` must be, exactly.
        audience: what ``aud`` must be or contain.
        jwks_url: where the provider's keys are; HTTPS, or HTTP of this machine.
        tenant_claim: the claim that names the caller's tenant.
    """

    issuer: str
    audience: str
    jwks_url: str
    tenant_claim: str = "tenant"

    def __post_init__(self) -> None:
        for name in ("issuer", "audience", "tenant_claim"):
            if not getattr(self, name).strip():
                raise ShouldFixArgument(f"The OpenID provider's {name} is empty.")
        try:
            parts = urlsplit(self.jwks_url)
            host = parts.hostname
        except ValueError:
            host = None
        if not host or not (
            parts.scheme == "https" or (parts.scheme == "http" and host in _THIS_MACHINE)
        ):
            raise ShouldFixArgument(
                f"jwks_url={self.jwks_url!r} can't be trusted with keys.", "Use an https:// URL."
            )
