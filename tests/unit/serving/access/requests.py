"""Requests as a route gets them, and keys to send with them."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

Headers = Sequence[tuple[str, str]]


def request(headers: Headers = (), query: str = "", path: str = "/api/ml/episode") -> Request:
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode("latin-1"),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ],
        }
    )


def bearer(credential: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {credential}")
