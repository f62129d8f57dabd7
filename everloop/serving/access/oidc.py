"""Tokens of an OpenID provider: who is meant, if the signature and every claim hold."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from everloop.contracts.access import TENANT_NAME, Caller, OidcConfig, Scope
from everloop.contracts.ports import Clock
from everloop.serving.access.jwks import ALGORITHMS, ProviderKeys

LEEWAY_S = 60.0
"""How far the provider's clock may be off."""

SCOPE_PREFIX = "everloop:"

_SCOPES: Mapping[str, Scope] = {f"{SCOPE_PREFIX}{scope}": scope for scope in Scope}
_REQUIRED = ["iss", "aud", "exp", "nbf", "sub"]
_LONGEST_TOKEN = 8192
_LONGEST_SUBJECT = 255
_MOST_TOKENS = 10_000
_KEPT_S = 60.0
_LATEST = 2.0**53  # seconds; NaN isn't below it either

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    not_before: float
    expires: float
    generation: int
    verified_at: float


class TokenReader:
    """Finds the caller of a token.

    A token is RS256 or ES256 by a key of the provider, has ``iss``, ``aud``, ``exp``, ``nbf``, ``sub``
    and the tenant's claim, and gives scopes as ``everloop:<scope>`` in ``scope`` or ``scp``.

    Args:
        config: the provider.
        clock: says what has expired.
        monotonic: seconds of a clock that never steps back.
        keys: the provider's keys; by default those at ``config.jwks_url``.
    """

    def __init__(
        self,
        config: OidcConfig,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        keys: ProviderKeys | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._monotonic = monotonic
        self._keys = keys or ProviderKeys(config.jwks_url, monotonic)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def caller(self, token: str) -> Caller | None:
        """Whose token it is; ``None`` when anything about it is wrong.

        Raises:
            ShouldRetryLater: the provider's keys can't be read.
        """
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is None or not self._still_good(known):
            try:
                known = await self._verify(token)
            except (jwt.PyJWTError, ValueError, RecursionError) as problem:
                _log.info("a token is refused: %s", type(problem).__name__)
                return None
            self._verified[digest] = known
            self._verified.move_to_end(digest)
            if len(self._verified) > _MOST_TOKENS:
                self._verified.popitem(last=False)
        now = self._clock.now().timestamp()
        if not known.not_before - LEEWAY_S <= now < known.expires + LEEWAY_S:
            return None
        return known.caller

    def _still_good(self, known: _Verified) -> bool:
        return (
            known.generation == self._keys.generation
            and self._monotonic() - known.verified_at < _KEPT_S
        )

    async def _verify(self, token: str) -> _Verified:
        """Check everything but the time, which passes."""
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS.values():
            raise jwt.InvalidAlgorithmError("neither RS256 nor ES256")
        key = await self._keys.key(header.get("kid"), algorithm)
        generation = self._keys.generation
        if key is None:
            raise jwt.InvalidKeyError("no key of the provider")
        claims = jwt.decode(
            token,
            key=key,
            algorithms=[key.algorithm_name],
            audience=self._config.audience,
            issuer=self._config.issuer,
            options={
                "require": _REQUIRED,
                "verify_exp": False,  # by our clock, below
                "verify_nbf": False,
                "verify_iat": False,
                "verify_jti": False,
                "enforce_minimum_key_length": True,
            },
        )
        return _Verified(
            Caller(f"oidc:{_subject(claims)}", self._tenant(claims), _scopes(claims)),
            _seconds(claims, "nbf"),
            _seconds(claims, "exp"),
            generation,
            self._monotonic(),
        )

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        tenant = claims.get(self._config.tenant_claim)
        if not isinstance(tenant, str) or not TENANT_NAME.fullmatch(tenant):
            raise ValueError("no tenant")
        return tenant


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not (isinstance(subject, str) and subject.isprintable()) or not (
        0 < len(subject) <= _LONGEST_SUBJECT
    ):
        raise ValueError("no subject")
    return subject


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LATEST:
        raise ValueError(f"{name} is no time")
    return float(value)


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    named: set[str] = set()
    for claim in ("scope", "scp"):
        value = claims.get(claim)
        if isinstance(value, str):
            named.update(value.split())
        elif isinstance(value, list):
            named.update(item for item in value if isinstance(item, str))
    return frozenset(_SCOPES[name] for name in named if name in _SCOPES)
