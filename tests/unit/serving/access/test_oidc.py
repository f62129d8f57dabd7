"""Tokens of a provider: what is taken, and every way to forge one that is not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import RSAAlgorithm

from everloop.contracts.access import ApiKey, Caller, OidcConfig, Scope
from everloop.contracts.errors import (
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixArgument,
    ShouldRetryLater,
)
from everloop.serving.access.admission import Access
from everloop.serving.access.jwks import DISCARD_S, REFETCH_S, RENEW_S, RETRY_S, parse_jwks
from tests.log_records import NOON, SetClock
from tests.unit.serving.access.provider import (
    AUDIENCE,
    ISSUER,
    NOW,
    Provider,
    by_hand,
    claims,
    ec_key,
    jwk,
    public_pem,
    rsa_key,
    running,
    token,
)
from tests.unit.serving.access.requests import bearer, request


class NoKeys:
    """A key store without keys."""

    def add(self, key: ApiKey, actor: str) -> None:
        raise NotImplementedError

    def key(self, key_id: str) -> ApiKey | None:
        return None

    def keys(self, tenant: str | None = None) -> tuple[ApiKey, ...]:
        return ()

    def revoke(self, key_id: str, at: object, actor: str) -> None:
        raise NotImplementedError


@dataclass
class Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Door:
    provider: Provider
    clock: SetClock
    seconds: Seconds
    access: Access
    loop: asyncio.Runner

    def admit(self, text: str, scope: Scope = Scope.INGEST, *more: tuple[str, str]) -> Caller:
        return self.loop.run(self.access.admit(request([bearer(text), *more]), scope))

    def lets_in(self, text: str) -> bool:
        try:
            self.admit(text)
        except ShouldAuthenticate:
            return False
        return True


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def door(server: Provider) -> Iterator[Door]:
    fresh = Provider()
    server.keys, server.status, server.body, server.asked = fresh.keys, 200, None, 0
    server.gate.set()
    clock, seconds = SetClock(NOON), Seconds()
    with asyncio.Runner() as loop:
        yield Door(server, clock, seconds, Access(NoKeys(), server.config, clock, seconds), loop)


@pytest.mark.parametrize(
    "text",
    [
        token(),
        token(key=ec_key(), key_id="e1", algorithm="ES256"),
        token(claims(aud=["other", AUDIENCE])),
        token(claims(scope=None, scp=["everloop:ingest", "everloop:read", "x", 3])),
        token(claims(scope=None, scp="everloop:read everloop:ingest")),
        token(claims(iat=NOW + 9999)),
        token(claims(exp=NOW + 300.5, nbf=NOW - 0.5)),
        token(typ="at+jwt"),
    ],
)
def test_a_good_token_says_who_calls(door: Door, text: str) -> None:
    expected = Caller("oidc:ann@ops", "acme", frozenset({Scope.INGEST, Scope.READ}))
    assert door.admit(text) == expected
    assert door.admit(text) == expected  # from memory


def test_scopes_and_tenants_bind_as_those_of_keys_do(door: Door) -> None:
    with pytest.raises(ShouldAskForScope, match="scope train; the credential has ingest, read"):
        door.admit(token(), Scope.TRAIN)
    with pytest.raises(ShouldAskForScope, match="needs the scope ingest; the credential has none"):
        door.admit(token(claims(scope="ingest openid Everloop:ingest everloop:everything")))
    with pytest.raises(ShouldAskForScope, match="tenant 'acme'"):
        door.admit(token(), Scope.INGEST, ("X-Everloop-Tenant", "bolt"))


def test_a_token_is_no_api_key(door: Door) -> None:
    with pytest.raises(ShouldAuthenticate):
        door.loop.run(door.access.admit(request([("X-API-Key", token())]), Scope.INGEST))


def test_without_a_provider_no_token_is_taken(door: Door) -> None:
    door.access = Access(NoKeys(), None, door.clock, door.seconds)
    assert not door.lets_in(token())


def _hs256(body: dict[str, Any], secret: bytes, key_id: str) -> str:
    """HS256 with the public key as the secret, made by hand: libraries refuse to."""
    unsigned = by_hand({"alg": "HS256", "typ": "JWT", "kid": key_id}, body).rpartition(".")[0]
    signature = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _tampered() -> str:
    head, _, signature = token().split(".")
    body = by_hand({}, claims(tenant="bolt")).split(".")[1]
    return f"{head}.{body}.{signature}"


FORGED = {
    "alg none": by_hand({"alg": "none", "kid": "r1"}, claims()),
    "alg None": by_hand({"alg": "None", "kid": "r1"}, claims(), b"x"),
    "alg absent": by_hand({"kid": "r1"}, claims(), b"x"),
    "alg a list": by_hand({"alg": ["RS256"], "kid": "r1"}, claims(), b"x"),
    "HS256 with the public key": _hs256(claims(), public_pem(rsa_key()), "r1"),
    "HS256 with an empty key": _hs256(claims(), b"", "r1"),
    "HS256 with the EC key": _hs256(claims(), public_pem(ec_key()), "e1"),
    "RS512": token(algorithm="RS512"),
    "PS256": token(algorithm="PS256"),
    "RS256 under the EC key's id": token(key_id="e1"),
    "ES256 under the RSA key's id": token(key=ec_key(), key_id="r1", algorithm="ES256"),
    "another's key under a known id": token(key=rsa_key("thief")),
    "another's EC key under a known id": token(key=ec_key("thief"), key_id="e1", algorithm="ES256"),
    "a key it brings along": token(
        key=rsa_key("thief"), key_id="x", jwk=jwk(rsa_key("thief"), "x")
    ),
    "a JWKS it brings along": token(key=rsa_key("thief"), key_id="x", jku="http://127.0.0.1:1/"),
    "unknown id": token(key_id="r9"),
    "no id among several keys": token(key_id=None),
    "tampered": _tampered(),
    "signature cut": token()[:-4],
    "signature absent": token().rpartition(".")[0] + ".",
    "critical extension": token(crit=["exp"], exp=1),
    "detached": by_hand({"alg": "RS256", "kid": "r1", "b64": False, "crit": ["b64"]}, {}, b"x"),
    "wrong issuer": token(claims(iss=ISSUER + "/")),
    "no issuer": token(claims(iss=None)),
    "wrong audience": token(claims(aud="everloop2")),
    "wrong audiences": token(claims(aud=["a", "b"])),
    "no audience": token(claims(aud=None)),
    "empty audience": token(claims(aud=[])),
    "no expiry": token(claims(exp=None)),
    "no start": token(claims(nbf=None)),
    "no subject": token(claims(sub=None)),
    "empty subject": token(claims(sub="")),
    "subject of two lines": token(claims(sub="a\nb")),
    "endless subject": token(claims(sub="a" * 256)),
    "no tenant": token(claims(tenant=None)),
    "empty tenant": token(claims(tenant="")),
    "tenants": token(claims(tenant=["acme"])),
    "tenant of two words": token(claims(tenant="acme bolt")),
    "expiry a truth": token(claims(exp=True)),
    "expiry a text": token(claims(exp=str(NOW + 300))),
    "expiry beyond numbers": token(claims(exp=10**400)),
    "start a list": token(claims(nbf=[NOW])),
    "not three parts": "a.b",
    "no JSON": "e30.e30.e30",
    "endless": "a." * 9000,
    "not ASCII": "é.é.é",
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
def test_a_forged_or_broken_token_is_refused(
    door: Door, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert door.lets_in(token())
    with caplog.at_level(logging.DEBUG), pytest.raises(ShouldAuthenticate) as refused:
        door.admit(text)
    assert refused.value.message == "The credential is unknown, expired or revoked."
    assert not any(len(part) > 8 and part in caplog.text for part in text.split("."))
    assert door.lets_in(token())


def test_time_passes_with_a_minute_s_leeway(door: Door) -> None:
    text = token()  # from NOW - 10 to NOW + 300
    ends, starts = NOON + timedelta(seconds=300), NOON - timedelta(seconds=10)
    for moment, good in (
        (starts - timedelta(seconds=60), True),
        (starts - timedelta(seconds=60, microseconds=1), False),
        (ends + timedelta(seconds=60, microseconds=-1), True),
        (ends + timedelta(seconds=60), False),
        (NOON, True),
    ):
        door.clock.moment = moment
        assert door.lets_in(text) is good  # known since the first, and still judged
        assert door.lets_in(token(claims(jti=f"{moment}"))) is good  # seen for the first time


def test_keys_are_fetched_once_for_many(door: Door) -> None:
    async def crowd() -> None:
        calls = [door.access.admit(request([bearer(token())]), Scope.INGEST) for _ in range(50)]
        await asyncio.gather(*calls)

    door.loop.run(crowd())
    assert door.provider.asked == 1


def test_a_rotated_key_is_fetched_and_the_old_one_forgotten(door: Door) -> None:
    old, new = token(), token(key=rsa_key("two"), key_id="r2")
    assert door.lets_in(old)
    door.provider.keys = [jwk(rsa_key("two"), "r2")]
    assert not door.lets_in(new)  # fetched a moment ago
    door.seconds.now += REFETCH_S
    assert door.lets_in(new)
    assert door.provider.asked == 2
    assert not door.lets_in(old)  # its key is gone, though it had been verified


def test_unknown_ids_do_not_make_us_ask_and_ask(door: Door) -> None:
    assert door.lets_in(token())
    for number in range(20):
        assert not door.lets_in(token(key_id=f"x{number}"))
    assert door.provider.asked == 1
    door.seconds.now += REFETCH_S
    for number in range(20):
        assert not door.lets_in(token(key_id=f"y{number}"))
    assert door.provider.asked == 2


def test_who_waits_for_a_rotation_that_is_being_fetched_gets_in(door: Door) -> None:
    assert door.lets_in(token())
    door.provider.keys = [jwk(rsa_key("two"), "r2")]
    door.seconds.now += REFETCH_S
    new = token(key=rsa_key("two"), key_id="r2")

    async def crowd() -> None:
        calls = [door.access.admit(request([bearer(new)]), Scope.INGEST) for _ in range(20)]
        await asyncio.gather(*calls)

    door.loop.run(crowd())
    assert door.provider.asked == 2


@pytest.mark.parametrize("how", ["status", "garbage", "no keys", "redirect", "huge", "list"])
def test_a_provider_that_is_away_stops_nobody_it_knew(door: Door, how: str) -> None:
    assert door.lets_in(token())
    answers = {
        "status": (503, None),
        "garbage": (200, b"<html>"),
        "no keys": (200, b'{"error": "x"}'),
        "redirect": (302, b""),
        "huge": (200, b" " * (1 << 20) + b'{"keys": []}'),
        "list": (200, b"[]"),
    }
    door.provider.status, door.provider.body = answers[how]
    door.seconds.now += RENEW_S
    assert door.lets_in(token(claims(jti="new")))
    assert not door.lets_in(token(key_id="r9"))  # waits for the renewal, which fails
    assert door.provider.asked == 2
    assert door.lets_in(token(claims(jti="newer")))
    door.seconds.now += DISCARD_S
    with pytest.raises(ShouldRetryLater, match="can't be read"):
        door.admit(token())


def test_a_provider_that_took_all_its_keys_back_is_believed(door: Door) -> None:
    assert door.lets_in(token())
    door.provider.keys = []
    door.seconds.now += REFETCH_S
    assert not door.lets_in(token(key_id="r9"))
    assert not door.lets_in(token())


def test_without_keys_we_say_come_back(door: Door) -> None:
    door.provider.status = 500
    for _ in range(5):
        with pytest.raises(ShouldRetryLater, match="OpenID provider") as refused:
            door.admit(token())
        assert refused.value.retry_after > 0
    assert door.provider.asked == 1  # at most one a second
    door.provider.status = 200
    door.seconds.now += RETRY_S
    assert door.lets_in(token())


def test_a_provider_that_hangs_delays_no_key(door: Door) -> None:
    """A known token is served while its keys are renewed."""
    assert door.lets_in(token())
    door.provider.gate.clear()
    door.seconds.now += RENEW_S

    async def served() -> Caller:
        found = await asyncio.wait_for(
            door.access.admit(request([bearer(token(claims(jti="x")))]), Scope.INGEST), 1.0
        )
        door.provider.gate.set()
        return found

    assert door.loop.run(served()).tenant == "acme"


def test_the_only_key_needs_no_id(door: Door) -> None:
    door.provider.keys = [jwk(rsa_key(), None)]
    assert door.lets_in(token(key_id=None))
    assert not door.lets_in(token(key=ec_key(), key_id=None, algorithm="ES256"))


UNFIT = {
    "small RSA": jwk(rsa_key("small", 1024), "k"),
    "for encryption": jwk(rsa_key(), "k", use="enc"),
    "only to sign": jwk(rsa_key(), "k", key_ops=["sign"]),
    "of another algorithm": jwk(rsa_key(), "k", alg="PS256"),
    "of a secret": {"kty": "oct", "kid": "k", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
    "of another curve": jwk(ec_key("p384", ec.SECP384R1), "k"),
    "of a wrong curve": jwk(ec_key(), "k", crv="P-384"),
    "off the curve": jwk(ec_key(), "k", x=jwk(ec_key(), "k")["y"]),
    "without a modulus": {"kty": "RSA", "kid": "k", "e": "AQAB"},
    "with a numbered id": jwk(rsa_key(), None, kid=7),
    "of no type": {"kid": "k"},
    "no object": "k",
}


@pytest.mark.parametrize("member", UNFIT.values(), ids=UNFIT.keys())
def test_unfit_keys_are_passed_over(door: Door, member: Any) -> None:
    door.provider.keys = [member, jwk(rsa_key(), "r1")]
    assert set(parse_jwks(orjson.dumps({"keys": door.provider.keys}))) == {("r1", "RS256")}
    assert door.lets_in(token())
    assert not door.lets_in(token(key_id="k"))


def test_a_private_key_that_slipped_out_verifies_as_its_public_part() -> None:
    private = RSAAlgorithm.to_jwk(rsa_key(), as_dict=True) | {"kid": "r1"}
    private.pop("key_ops", None)
    (key,) = parse_jwks(orjson.dumps({"keys": [private]})).values()
    assert not hasattr(key.key, "sign")


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://login.example/keys", True),
        ("http://localhost:8080/keys", True),
        ("http://127.0.0.1/keys", True),
        ("http://[::1]/keys", True),
        ("http://login.example/keys", False),
        ("http://localhost.evil.example/keys", False),
        ("file:///etc/keys", False),
        ("https://", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str, good: bool) -> None:
    if good:
        assert OidcConfig(ISSUER, AUDIENCE, url).tenant_claim == "tenant"
        return
    with pytest.raises(ShouldFixArgument, match="jwks_url"):
        OidcConfig(ISSUER, AUDIENCE, url)


@pytest.mark.parametrize("name", ["issuer", "audience", "tenant_claim"])
def test_a_provider_is_named_whole(name: str) -> None:
    whole = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks_url": "https://x.example/",
        "tenant_claim": "t",
    }
    with pytest.raises(ShouldFixArgument, match=name):
        OidcConfig(**(whole | {name: " "}))
