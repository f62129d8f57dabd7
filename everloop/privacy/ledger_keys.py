"""The secrets of a ledger: what commits rows to their people and seals unfinished noise.

A row says by a fingerprint which key it was committed under, so that a new key does not undo what an
older one vouches for. Rows from before that are tried with every key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from everloop.contracts.errors import ShouldProvideKey
from everloop.contracts.privacy import LedgerRow

MIN_KEY_BYTES = 32


def fingerprint(key: bytes) -> str:
    """16 hexadecimal digits that tell whether a key is the same, and nothing else about it."""
    return hashlib.sha256(b"everloop key fingerprint" + key).hexdigest()[:16]


class LedgerKeys:
    """The key that new rows are committed under, and the older ones that stored rows need.

    Raises:
        ShouldProvideKey: a key has fewer than 32 bytes.
    """

    def __init__(self, key: bytes, previous: Sequence[bytes] = ()) -> None:
        for one in (key, *previous):
            if len(one) < MIN_KEY_BYTES:
                raise ShouldProvideKey(
                    f"The ledger key has {len(one)} bytes, fewer than {MIN_KEY_BYTES}.",
                    "Set EVERLOOP_LEDGER_KEY to 32 or more bytes in hexadecimal.",
                )
        self._key = key
        self._all = {fingerprint(one): one for one in (*previous, key)}

    def __repr__(self) -> str:
        return "LedgerKeys(<secret>)"

    @property
    def current_key(self) -> bytes:
        """The secret that new rows are committed under."""
        return self._key

    @property
    def current(self) -> str:
        """Fingerprint of the key that new rows are committed under."""
        return fingerprint(self._key)

    def commitment(self, people: Iterable[str]) -> str:
        """What a new row says of its people: HMAC-SHA-256 of their sorted pseudonyms."""
        return _commitment(self._key, sorted(people))

    def commits(self, row: LedgerRow, people: Iterable[str]) -> bool:
        """Whether a row was committed to exactly these people.

        Raises:
            ShouldProvideKey: the row's key is not here.
        """
        return self._key_of(row, sorted(people)) is not None

    def sealed(self, row: LedgerRow, seed: bytes) -> bytes:
        """The seed of a new row, hidden: without the key, or for another dataset, it is noise."""
        return _xor(seed, _pad(self._key, row))

    def opened(self, row: LedgerRow, sealed: bytes, people: Iterable[str]) -> bytes | None:
        """The seed of a row; None when the row is not committed to these people.

        Raises:
            ShouldProvideKey: the row's key is not here.
        """
        key = self._key_of(row, sorted(people))
        return None if key is None else _xor(sealed, _pad(key, row))

    def _key_of(self, row: LedgerRow, people: Sequence[str]) -> bytes | None:
        """The key under which a row is committed to some people."""
        if row.key_id and row.key_id not in self._all:
            raise ShouldProvideKey(
                f"Privacy ledger row {row.sequence} was committed under the ledger key {row.key_id}, "
                "which is not here.",
                "Put it back into EVERLOOP_LEDGER_KEY_PREVIOUS.",
            )
        asked = [self._all[row.key_id]] if row.key_id else list(self._all.values())
        for key in asked:
            if hmac.compare_digest(_commitment(key, people), row.people_commitment):
                return key
        return None


def _commitment(key: bytes, people: Sequence[str]) -> str:
    return hmac.new(key, ("people\0" + "\0".join(people)).encode(), hashlib.sha256).hexdigest()


def _pad(key: bytes, row: LedgerRow) -> bytes:
    """One-time pad of a release's seed."""
    terms = "\0".join(("seal", row.release_id, row.dataset_id, row.configuration_sha256))
    return hmac.new(key, terms.encode(), hashlib.sha256).digest()


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
