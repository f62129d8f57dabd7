"""Keyed hashes of people's ids: what the loop knows people by."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from everloop.contracts.canonical import Json
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey

MIN_KEY_BYTES = 32
NAMING = frozenset({"user_id", "user_ids"})
"""Arguments of an action that name people."""


class Pseudonyms:
    """HMAC-SHA-256 of (tenant, product user id) under a secret key.

    Without the key nobody can test whether a guessed id belongs to a pseudonym. The same key gives
    the same pseudonym for ever; another key makes everyone a new person, with an unspent budget.

    Raises:
        ShouldProvideKey: the key has fewer than 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ShouldProvideKey(
                f"The pseudonym key has {len(key)} bytes, fewer than {MIN_KEY_BYTES}.",
                "Set EVERLOOP_PSEUDONYM_KEY to 32 or more bytes in hexadecimal.",
            )
        self._key = key

    def __repr__(self) -> str:
        return "Pseudonyms(key=<secret>)"

    def of(self, user_id: str, tenant: str = "default") -> str:
        """64 hexadecimal digits for a product's user id within a tenant.

        The tenant's length is hashed too, so that no two (tenant, user id) pairs share an input.

        Raises:
            ShouldFixArgument: the id or the tenant is empty.
        """
        if not user_id or not tenant:
            raise ShouldFixArgument(
                f"A person needs a user id and a tenant (given: {user_id!r}, {tenant!r}).",
                "Send the product's own id of the person.",
            )
        owner = tenant.encode()
        message = len(owner).to_bytes(4, "big") + owner + user_id.encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def in_arguments(
        self, arguments: Mapping[str, Json], tenant: str = "default"
    ) -> dict[str, Json]:
        """What an action was about, with the product's ids of people replaced by pseudonyms.

        ``user_id`` and ``user_ids`` name people, at any depth; an id may be text or a whole number.

        Raises:
            ShouldFixArgument: an id is empty, or neither text nor a whole number.
        """
        return {
            name: self._hidden(name in NAMING, item, tenant) for name, item in arguments.items()
        }

    def _hidden(self, names_people: bool, value: Json, tenant: str) -> Json:
        if isinstance(value, Mapping):
            return self.in_arguments(value, tenant)
        if isinstance(value, list | tuple):
            return [self._hidden(names_people, item, tenant) for item in value]
        if not names_people or value is None:
            return value
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ShouldFixArgument(
                f"action_arguments names a person by {value!r}.",
                "Send the product's own id as text.",
            )
        return self.of(str(value), tenant)
