"""Who sent a request, and whether they may: the first step of every route."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl

from fastapi import Request

from everloop.contracts.access import Caller, OidcConfig, Scope
from everloop.contracts.errors import ShouldAskForScope, ShouldAuthenticate
from everloop.contracts.ports import Clock
from everloop.contracts.service_ports import KeyStore
from everloop.serving.access.credentials import PREFIX
from everloop.serving.access.key_records import KeyRecords
from everloop.serving.access.oidc import TokenReader

TENANT_HEADER = b"x-everloop-tenant"
TENANT_PARAMETER = "tenant"

_BEARER = "bearer "
_CREDENTIAL_HEADERS = {b"authorization", b"x-api-key"}
_LONGEST_CREDENTIAL = 16_384


class Access:
    """Admits requests by API key or by a token of an OpenID provider.

    Args:
        keys: the API keys.
        oidc: whose tokens are taken; ``None``: keys alone.
        clock: says what has expired.
        monotonic: seconds of a clock that never steps back.
    """

    def __init__(
        self,
        keys: KeyStore,
        oidc: OidcConfig | None,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = KeyRecords(keys, clock, monotonic)
        self._tokens = None if oidc is None else TokenReader(oidc, clock, monotonic)

    async def admit(self, request: Request, scope: Scope) -> Caller:
        """The caller of a request that needs ``scope``.

        Takes ``Authorization: Bearer <key or token>`` or ``X-API-Key: <key>``. Everything is of the
        caller's own tenant; naming another in ``X-Everloop-Tenant`` or ``?tenant=`` is refused.

        Raises:
            ShouldAuthenticate: there is no credential, or none that works; which of unknown, expired
                and revoked it is isn't told.
            ShouldAskForScope: the caller lacks the scope, or names another tenant.
            ShouldRetryLater: the provider's keys can't be read, so that no token can be checked.
        """
        credential, bearer, named = _presented(request)
        return await self._admitted(request, credential, bearer, named, scope)

    async def admit_key(self, request: Request, key: str, scope: Scope) -> Caller:
        """``admit`` for a sender that can set no header and carries its API key in the body.

        A credential in the headers wins, so that one request never acts for two callers.
        """
        if any(name in _CREDENTIAL_HEADERS for name, _ in request.scope["headers"]):
            return await self.admit(request, scope)
        credential = key.strip() if len(key) <= _LONGEST_CREDENTIAL else ""
        if not credential:
            raise ShouldAuthenticate(
                "The request carries no credential.", "Send an API key with the scope read."
            )
        return await self._admitted(request, credential, False, [], scope)

    async def _admitted(
        self, request: Request, credential: str, bearer: bool, named: list[str], scope: Scope
    ) -> Caller:
        caller = await self._caller(credential, bearer)
        if scope not in caller.scopes:
            raise ShouldAskForScope(
                f"This needs the scope {scope}; the credential has "
                f"{', '.join(s for s in Scope if s in caller.scopes) or 'none'}.",
                f"Use a credential with the scope {scope}.",
            )
        query = request.scope.get("query_string", b"")
        if query:
            named.extend(v for n, v in _parameters(query) if n.lower() == TENANT_PARAMETER)
        for tenant in named:
            if tenant != caller.tenant:
                raise ShouldAskForScope(
                    f"The credential is of tenant {caller.tenant!r}, not of {tenant[:80]!r}.",
                    "Use a credential of that tenant.",
                )
        return caller

    async def _caller(self, credential: str, bearer: bool) -> Caller:
        caller = None
        if credential.startswith(PREFIX):
            caller = await self._keys.caller(credential)
        elif bearer and self._tokens is not None:
            caller = await self._tokens.caller(credential)
        if caller is None:
            raise ShouldAuthenticate(
                "The credential is unknown, expired or revoked.",
                "Make a key with everloop keys create, or ask for a new token.",
            )
        return caller


def _parameters(query: bytes) -> Iterable[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)


def _presented(request: Request) -> tuple[str, bool, list[str]]:
    """(credential, whether as a bearer, tenants named in headers), in one pass over the headers."""
    found: list[tuple[str, bool]] = []
    tenants: list[str] = []
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            text = value.decode("latin-1").strip()
            if text[: len(_BEARER)].lower() == _BEARER:
                found.append((text[len(_BEARER) :].strip(), True))
            else:
                found.append(("", True))
        elif name == b"x-api-key":
            found.append((value.decode("latin-1").strip(), False))
        elif name == TENANT_HEADER:
            tenants.append(value.decode("latin-1").strip())
    different = {text for text, _ in found}
    if len(different) != 1 or "" in different:
        raise ShouldAuthenticate(
            f"The request carries {'two credentials' if len(different) > 1 else 'no credential'}.",
            "Send one: Authorization: Bearer <key>, or X-API-Key: <key>.",
        )
    credential, bearer = found[0]
    return (credential if len(credential) <= _LONGEST_CREDENTIAL else ""), bearer, tenants
