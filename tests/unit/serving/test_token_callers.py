"""A token of an OpenID provider calls the service as a key does, configured by the environment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from everloop import settings
from tests.two_tenants import OURS, THEIRS, Sent, two_tenants
from tests.unit.serving.access.provider import AUDIENCE, ISSUER, claims, running, token

AUDIT = "/api/admin/audit"


def test_a_token_reads_and_writes_its_own_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as provider:
        monkeypatch.setenv(settings.OIDC_ISSUER, ISSUER)
        monkeypatch.setenv(settings.OIDC_AUDIENCE, AUDIENCE)
        monkeypatch.setenv(settings.OIDC_JWKS_URL, provider.url)
        monkeypatch.setenv(settings.OIDC_TENANT_CLAIM, "org")
        now = int(time.time())
        good = {"exp": now + 300, "nbf": now - 5, "tenant": None, "org": OURS}
        admin = token(claims(**good, scope="everloop:admin everloop:train"))
        with two_tenants(tmp_path) as world:
            assert world.send("POST", "/api/ml/train", Sent(body={}), admin).status_code == 202
            page = world.send("GET", AUDIT, Sent(query={"limit": "1000"}), admin)
            assert page.status_code == 200
            assert page.json()["entries"][-1]["actor"] == "oidc:ann@ops"
            other = world.send("GET", AUDIT, Sent(), admin, X_Everloop_Tenant=THEIRS)
            assert other.status_code == 403
            reader = token(claims(**good, scope="everloop:read"))
            assert world.send("GET", AUDIT, Sent(), reader).status_code == 403
            for wrong in (
                token(claims(**good | {"org": None}, scope="everloop:admin")),
                token(claims(**good | {"exp": now - 61}, scope="everloop:admin")),
            ):
                assert world.send("GET", AUDIT, Sent(), wrong).status_code == 401
