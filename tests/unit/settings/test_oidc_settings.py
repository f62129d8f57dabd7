"""The OpenID provider is named whole by the environment, or not at all."""

from __future__ import annotations

import pytest

from everloop import settings
from everloop.contracts.access import OidcConfig
from everloop.contracts.errors import ShouldFixArgument

WHOLE = {
    "EVERLOOP_OIDC_ISSUER": "https://login.example/realm",
    "EVERLOOP_OIDC_AUDIENCE": "everloop",
    "EVERLOOP_OIDC_JWKS_URL": "https://login.example/keys",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*WHOLE, "EVERLOOP_OIDC_TENANT_CLAIM"):
        monkeypatch.delenv(name, raising=False)


def test_without_it_keys_alone_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.oidc() is None
    monkeypatch.setenv("EVERLOOP_OIDC_TENANT_CLAIM", "org")
    assert settings.oidc() is None


def test_it_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    assert settings.oidc() == OidcConfig(*WHOLE.values(), tenant_claim="tenant")
    monkeypatch.setenv("EVERLOOP_OIDC_TENANT_CLAIM", "org")
    assert settings.oidc() == OidcConfig(*WHOLE.values(), tenant_claim="org")


@pytest.mark.parametrize("left_out", WHOLE)
def test_a_part_of_it_is_refused(monkeypatch: pytest.MonkeyPatch, left_out: str) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, "" if name == left_out else value)
    with pytest.raises(ShouldFixArgument, match=f"without {left_out}"):
        settings.oidc()
