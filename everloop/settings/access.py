"""The OpenID provider whose tokens the service takes."""

from __future__ import annotations

import os

from everloop.contracts.access import OidcConfig
from everloop.contracts.errors import ShouldFixArgument

OIDC_ISSUER = "EVERLOOP_OIDC_ISSUER"
OIDC_AUDIENCE = "EVERLOOP_OIDC_AUDIENCE"
OIDC_JWKS_URL = "EVERLOOP_OIDC_JWKS_URL"
OIDC_TENANT_CLAIM = "EVERLOOP_OIDC_TENANT_CLAIM"


def oidc() -> OidcConfig | None:
    """The OpenID provider that the environment names, if any.

    Raises:
        ShouldFixArgument: it names a part of one, or one that can't be trusted.
    """
    names = (OIDC_ISSUER, OIDC_AUDIENCE, OIDC_JWKS_URL)
    given = [os.environ.get(name, "") for name in names]
    if not any(given):
        return None
    missing = [name for name, value in zip(names, given, strict=True) if not value]
    if missing:
        raise ShouldFixArgument(
            f"The OpenID provider is named without {', '.join(missing)}.",
            f"Set all of {', '.join(names)}, or none to take API keys alone.",
        )
    issuer, audience, jwks_url = given
    claim = os.environ.get(OIDC_TENANT_CLAIM) or "tenant"
    return OidcConfig(issuer, audience, jwks_url, claim)
