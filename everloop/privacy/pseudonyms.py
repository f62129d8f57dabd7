"""Keyed hashes of people's ids: what the loop knows people by."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from everloop.contracts.canonical import Json
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey

MIN_KEY_BYTES = 32
NAMING = frozenset(
    {
        *("userid", "userids", "personid", "personids"),
        *("participant", "participants", "targetuser", "targetusers"),
    }
)
"""Arguments of an action that name people, as ``_plain`` writes them."""

DROPPED = frozenset({"email", "phone", "name", "address", "ip"})
"""Arguments that say who somebody is and teach nothing, as ``_plain`` writes them."""


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
        self._keyed = hmac.new(
            key, digestmod="sha256"
        )  # setting the key up costs as much as a hash

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
        keyed = self._keyed.copy()
        keyed.update(message)
        return keyed.hexdigest()

    def in_arguments(
        self, arguments: Mapping[str, Json], tenant: str = "default"
    ) -> dict[str, Json]:
        """What an action was about, without whom: ids become pseudonyms, contact details are gone.

        Fields are told by their name in any case and with or without ``_`` and ``-``, at any depth:
        text and whole numbers below one of ``NAMING`` become pseudonyms, and the fields of
        ``DROPPED`` are left out. Names of fields stay as they are, so no id belongs there.

        Raises:
            ShouldFixArgument: an id is empty, or is neither text nor a whole number.
        """
        return self._fields(arguments, tenant, below=False)

    def _fields(self, fields: Mapping[str, Json], tenant: str, *, below: bool) -> dict[str, Json]:
        """A mapping's fields; ``below``: whether the mapping lies below one that names people."""
        kept: dict[str, Json] = {}
        for name, item in fields.items():
            plain = _plain(name)
            if plain in DROPPED:
                continue
            if plain in NAMING:
                kept[name] = self._of_people(item, tenant)
            elif below and isinstance(item, float | bool):
                kept[name] = item  # what is said of a person, by no id
            else:
                kept[name] = (
                    self._of_people(item, tenant) if below else self._of_things(item, tenant)
                )
        return kept

    def _of_things(self, value: Json, tenant: str) -> Json:
        if isinstance(value, Mapping):
            return self._fields(value, tenant, below=False)
        if isinstance(value, list | tuple):
            return [self._of_things(item, tenant) for item in value]
        return value

    def _of_people(self, value: Json, tenant: str) -> Json:
        if isinstance(value, Mapping):
            return self._fields(value, tenant, below=True)
        if isinstance(value, list | tuple):
            return [self._of_people(item, tenant) for item in value]
        if value is None:
            return None
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ShouldFixArgument(
                f"action_arguments names a person by {value!r}.",
                "Send the product's own id as text.",
            )
        return self.of(str(value), tenant)


def names_people(name: str) -> bool:
    """Whether what an argument of this name holds are ids of people."""
    return _plain(name) in NAMING


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
