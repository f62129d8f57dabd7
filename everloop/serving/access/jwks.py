"""Public keys of an OpenID provider, fetched from its JWKS and kept while it is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import orjson
from fastapi.concurrency import run_in_threadpool
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from everloop.contracts.errors import ShouldRetryLater

ALGORITHMS: Mapping[str, str] = {"RSA": "RS256", "EC": "ES256"}
"""The one algorithm that each type of key verifies. A shared secret is none, so HS256 has no key."""

RENEW_S = 300.0
"""How old keys are when they are fetched again, in the background."""

DISCARD_S = 86_400.0
"""How long keys are used while the provider is away."""

REFETCH_S = 10.0
"""At most one fetch in this time is made for a key id that nobody knows."""

RETRY_S = 1.0
"""At most one fetch in this time while there are no keys at all."""

_TIMEOUT_S = 5.0
_LARGEST = 1 << 20
_SMALLEST_RSA_BITS = 2048

_log = logging.getLogger(__name__)

Keys = Mapping[tuple[str, str], PyJWK]
"""(key id, algorithm) -> key; the id is empty where the provider gives none."""


class ProviderKeys:
    """The keys of one provider.

    Args:
        url: of the JWKS.
        monotonic: seconds of a clock that never steps back.
        fetch: reads the JWKS; a blocking call, for a thread.
    """

    def __init__(
        self,
        url: str,
        monotonic: Callable[[], float] = time.monotonic,
        fetch: Callable[[str], bytes] | None = None,
    ) -> None:
        self._url = url
        self._monotonic = monotonic
        self._fetch = fetch or fetch_jwks
        self._keys: Keys | None = None
        self._fetched_at = 0.0
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self.generation = 0
        """Grows with every fetch: what was verified before is verified anew."""

    async def key(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """The key that verifies ``algorithm`` under an id; ``None`` when there is none.

        Without an id it is the provider's only key. An unknown id fetches the keys again.

        Raises:
            ShouldRetryLater: there are no keys, and the provider can't be reached.
        """
        keys = await self._current()
        found = _find(keys, key_id, algorithm)
        rested = self._monotonic() - self._tried_at >= REFETCH_S
        if found is None and (rested or self._under_way()):
            await asyncio.shield(self._fetch_once())
            found = _find(self._keys or {}, key_id, algorithm)
        return found

    async def _current(self) -> Keys:
        age = self._monotonic() - self._fetched_at
        if self._keys is not None and age < DISCARD_S:
            if age >= RENEW_S and self._monotonic() - self._tried_at >= REFETCH_S:
                self._fetch_once()
            return self._keys
        if self._under_way() or self._monotonic() - self._tried_at >= RETRY_S:
            await asyncio.shield(self._fetch_once())
        if self._keys is None or self._monotonic() - self._fetched_at >= DISCARD_S:
            raise ShouldRetryLater(
                "The keys of the OpenID provider can't be read, so no token can be checked.",
                "Send it again soon, or use an API key.",
                retry_after=5.0,
            )
        return self._keys

    def _under_way(self) -> bool:
        task = self._fetching
        return (
            task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()
        )

    def _fetch_once(self) -> asyncio.Task[None]:
        """The fetch that is under way, or a new one: one for all who wait."""
        if self._fetching is None or not self._under_way():
            self._tried_at = self._monotonic()
            self._fetching = asyncio.get_running_loop().create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        try:
            document = await run_in_threadpool(self._fetch, self._url)
            keys = parse_jwks(document)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as problem:
            _log.warning("the JWKS %s can't be read: %s", self._url, problem)
            return
        self._keys = keys
        self._fetched_at = self._monotonic()
        self.generation += 1


def fetch_jwks(url: str) -> bytes:
    """The document at ``url``.

    Raises:
        httpx.HTTPError: it can't be had within seconds; a redirect isn't followed.
        ValueError: it is too large.
    """
    with (
        httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"status {response.status_code}")
        document = bytearray()
        for chunk in response.iter_bytes():
            document += chunk
            if len(document) > _LARGEST:
                raise ValueError(f"it is larger than {_LARGEST} bytes")
    return bytes(document)


def parse_jwks(document: bytes) -> Keys:
    """The keys of a JWKS that can verify what we take; others are passed over.

    Raises:
        ValueError: it is no JWKS.
    """
    found = orjson.loads(document)
    members = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(members, list):
        raise ValueError("it has no list of keys")
    keys: dict[tuple[str, str], PyJWK] = {}
    for member in members:
        key = _verifier(member)
        if key is not None:
            keys.setdefault((key.key_id or "", key.algorithm_name), key)
    return keys


def _verifier(member: Any) -> PyJWK | None:
    if not isinstance(member, dict):
        return None
    algorithm = ALGORITHMS.get(str(member.get("kty")))
    operations = member.get("key_ops")
    if (
        algorithm is None
        or member.get("alg", algorithm) != algorithm
        or member.get("use", "sig") != "sig"
        or (operations is not None and "verify" not in operations)
        or not isinstance(member.get("kid", ""), str)
        or (algorithm == "ES256" and member.get("crv") != "P-256")
    ):
        return None
    public = {name: value for name, value in member.items() if name in _PUBLIC}
    try:
        key = PyJWK(public, algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and key.key.key_size < _SMALLEST_RSA_BITS:
        return None
    return key


_PUBLIC = {"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"}


def _find(keys: Keys, key_id: str | None, algorithm: str) -> PyJWK | None:
    if key_id is not None:
        return keys.get((key_id, algorithm))
    only = list(keys.values())
    return only[0] if len(only) == 1 and only[0].algorithm_name == algorithm else None
