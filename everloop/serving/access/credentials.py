"""API keys as they are shown, ``elk_<id>_<secret>``, and as they are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from everloop.contracts.access import ApiKey, Scope
from everloop.contracts.errors import ShouldFixArgument

PREFIX = "elk_"
SECRET_BYTES = 32
"""256 bits that nobody guesses, so that a plain SHA-256 at rest is enough."""

_ID_BYTES = 6
_FORM = re.compile(r"elk_([0-9a-f]{12})_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when its text is known."""

    record: ApiKey
    text: str = field(repr=False)


def make_key(
    tenant: str,
    name: str,
    scopes: Sequence[Scope],
    now: datetime,
    valid_for: timedelta | None = None,
) -> NewKey:
    """Draw a new key.

    Args:
        tenant: whose rows it reaches.
        name: what it is for, in words; never a secret.
        scopes: what it may do, at least one.
        now: when it is made, UTC.
        valid_for: how long it works, > 0; ``None``: until it is revoked.

    Raises:
        ShouldFixArgument: no scope, no name, a malformed tenant or no time to be valid in.
    """
    if valid_for is not None and valid_for <= timedelta(0):
        raise ShouldFixArgument(
            f"A key valid for {valid_for} never works.", "Give it a day or more."
        )
    key_id = secrets.token_hex(_ID_BYTES)
    text = f"{PREFIX}{key_id}_{secrets.token_hex(SECRET_BYTES)}"
    record = ApiKey(
        key_id=key_id,
        tenant=tenant,
        name=name,
        secret_sha256=checksum(text),
        scopes=tuple(scope for scope in Scope if scope in set(scopes)),
        created_at=now,
        expires_at=None if valid_for is None else now + valid_for,
    )
    return NewKey(record, text)


def key_id_of(presented: str) -> str | None:
    """The id in a key's text; ``None`` when it isn't the text of a key."""
    found = _FORM.fullmatch(presented)
    return None if found is None else found.group(1)


def checksum(text: str) -> str:
    """SHA-256 of a key's whole text, the id included: a secret fits one id alone."""
    return hashlib.sha256(text.encode()).hexdigest()


def fits(presented: str, record: ApiKey) -> bool:
    """Whether ``presented`` is the key of ``record``, in time that does not depend on where it differs."""
    return hmac.compare_digest(checksum(presented), record.secret_sha256)
