"""An OpenID provider on this machine: real keys, a JWKS over HTTP, tokens good and forged."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from everloop.contracts.access import OidcConfig
from tests.log_records import NOON

ISSUER = "https://login.example/realm"
AUDIENCE = "everloop"
NOW = int(NOON.timestamp())

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(
    name: str = "one", curve: type[ec.EllipticCurve] = ec.SECP256R1
) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def jwk(key: PrivateKey, key_id: str | None, **changes: Any) -> dict[str, Any]:
    """A public key as the provider publishes it."""
    public = key.public_key()
    text = (
        RSAAlgorithm.to_jwk(public)
        if isinstance(public, rsa.RSAPublicKey)
        else ECAlgorithm.to_jwk(public)
    )
    found = {name: value for name, value in json.loads(text).items() if name != "key_ops"}
    named = {} if key_id is None else {"kid": key_id}
    return found | named | {"use": "sig"} | changes


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims; ``name=None`` leaves one out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann@ops",
        "exp": NOW + 300,
        "nbf": NOW - 10,
        "tenant": "acme",
        "scope": "openid everloop:ingest everloop:read",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(
    body: dict[str, Any] | None = None,
    key: Any = None,
    key_id: str | None = "r1",
    algorithm: str = "RS256",
    **header: Any,
) -> str:
    headers = ({} if key_id is None else {"kid": key_id}) | header
    return jwt.encode(
        claims() if body is None else body, key or rsa_key(), algorithm=algorithm, headers=headers
    )


def by_hand(header: dict[str, Any], body: dict[str, Any], signature: bytes = b"") -> str:
    """A token that no library would make."""
    parts = (json.dumps(header).encode(), json.dumps(body).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@dataclass
class Provider:
    """What the JWKS endpoint answers, and how often it was asked."""

    url: str = ""
    keys: list[Any] = field(default_factory=lambda: [jwk(rsa_key(), "r1"), jwk(ec_key(), "e1")])
    status: int = 200
    body: bytes | None = None
    asked: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def config(self) -> OidcConfig:
        return OidcConfig(ISSUER, AUDIENCE, self.url)


@contextmanager
def running() -> Iterator[Provider]:
    provider = Provider()
    provider.gate.set()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            provider.gate.wait(10)
            body = provider.body
            if body is None:
                body = json.dumps({"keys": provider.keys}).encode()
            self.send_response(provider.status)
            if provider.status in {301, 302}:
                self.send_header("Location", provider.url + "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests read no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/jwks"
    try:
        yield provider
    finally:
        provider.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
