"""Keyed hashes of people's ids: what the loop knows people by."""

from __future__ import annotations

import hashlib
import hmac

from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey

MIN_KEY_BYTES = 32


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
