"""Health fields at rest: authenticated, deterministic encryption under a key of their own.

The fields that a loop declares as ``health`` leave a context for one entry, ``$health``: AES-256-SIV of
their canonical JSON, bound to the tenant, the record's id and the loop. Equal records give equal bytes,
so that a replay is recognised by its checksum; equal values of two records share none, since the
record's id is part of what is authenticated. The sizes of the values remain visible, and so does
whether a record has any.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from everloop.contracts.canonical import Json, canonical_bytes
from everloop.contracts.contexts import SEALED, ContextOpener
from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import ShouldFixEpisode, ShouldProvideKey, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec

MIN_KEY_BYTES = 32
_PURPOSE = b"everloop health fields 1"
_FORM = "1."
_SIV_KEY_BYTES = 64
_UUID_CHARACTERS = 36


class HealthVault:
    """Seals and opens the health fields of contexts. Threads may share one.

    Args:
        key: the health key of the workspace, at least 32 bytes.

    Raises:
        ShouldProvideKey: the key is shorter.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ShouldProvideKey(
                f"The health key has {len(key)} bytes, fewer than {MIN_KEY_BYTES}.",
                "Set EVERLOOP_HEALTH_KEY to 32 or more bytes in hexadecimal.",
            )
        derived = HKDF(algorithm=SHA256(), length=_SIV_KEY_BYTES, salt=None, info=_PURPOSE)
        self._cipher = AESSIV(derived.derive(key))

    def __repr__(self) -> str:
        return "HealthVault(key=<secret>)"

    def seal(
        self, spec: LoopSpec, tenant: str, record_id: str, context: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        """The context as it is stored: health fields sealed, the others as they are.

        A decision and the episode that confirms it have one id and so one sealed form. Sealing what
        is sealed changes nothing.

        Args:
            spec: the loop; its fields of sensitivity ``health`` are sealed.
            tenant: owner of the record.
            record_id: UUID of the episode or decision.
            context: field name -> JSON value.

        Raises:
            ShouldFixEpisode: a health field is no finite JSON, or the context brings a sealed entry
                that is not its own.
        """
        names = spec.health_fields
        if not names:
            return context
        hidden = {name: context[name] for name in names if name in context}
        bound = _bound_to(tenant, record_id, spec.name)
        if SEALED in context:
            if hidden or self._opened(context[SEALED], bound) is None:
                raise ShouldFixEpisode(
                    f"Episode {record_id}: context_snapshot.{SEALED} was not sealed for it.",
                    "Log the fields of the specification; they are sealed where they are stored.",
                )
            return context
        if not hidden:
            return context
        sealed = self._cipher.encrypt(_text_of(hidden, record_id), bound)
        stored = {name: value for name, value in context.items() if name not in hidden}
        stored[SEALED] = _FORM + binascii.b2a_base64(sealed, newline=False).decode()
        return stored

    def open(
        self, tenant: str, record_id: str, loop: str, context: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        """The context as it was logged; one without sealed fields comes back as it is.

        Raises:
            ShouldRestoreArtefact: the sealed fields were altered, belong to another record or were
                sealed under another key.
        """
        if SEALED not in context:
            return context
        hidden = self._opened(context[SEALED], _bound_to(tenant, record_id, loop))
        if hidden is None or any(name in context for name in hidden):
            raise ShouldRestoreArtefact(
                f"The health fields of record {record_id} (loop {loop}, tenant {tenant}) are not "
                "what was sealed.",
                "Restore the database from a backup, and the EVERLOOP_HEALTH_KEY it was written "
                "under.",
            )
        restored = {name: value for name, value in context.items() if name != SEALED}
        restored.update(hidden)
        return restored

    def opener(self, tenant: str, loop: str) -> ContextOpener:
        """``open`` for the records of one tenant and loop."""

        def opened(record_id: str, context: Mapping[str, Json]) -> Mapping[str, Json]:
            return self.open(tenant, record_id, loop, context)

        return opened

    def _opened(self, sealed: Json, bound: list[bytes]) -> dict[str, Any] | None:
        """The fields of a sealed entry; ``None`` when it does not authenticate."""
        if not isinstance(sealed, str) or not sealed.startswith(_FORM):
            return None
        try:
            data = binascii.a2b_base64(sealed[len(_FORM) :], strict_mode=True)
            fields: dict[str, Any] = orjson.loads(self._cipher.decrypt(data, bound))
        except (ValueError, InvalidTag):
            return None
        return fields


def _bound_to(tenant: str, record_id: str, loop: str) -> list[bytes]:
    if len(record_id) != _UUID_CHARACTERS or not record_id.islower():
        try:
            record_id = canonical_uuid(record_id)
        except (ValueError, AttributeError, TypeError):
            raise ShouldFixEpisode(
                f"Record {record_id!r} is no UUID.", "Send a UUID made once per decision."
            ) from None
    return [tenant.encode(), record_id.encode(), loop.encode()]


def _text_of(fields: Mapping[str, Json], record_id: str) -> bytes:
    try:
        return canonical_bytes(fields)
    except (ValueError, TypeError) as problem:
        raise ShouldFixEpisode(
            f"Episode {record_id}: a health field is not finite JSON ({problem}).",
            "Leave a missing field out.",
        ) from None
