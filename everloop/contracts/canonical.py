"""One text for one JSON value: what is stored, hashed and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

Json = Any
"""A JSON value. Contexts are products' own; the loop specification says what is in them."""

_WITHOUT_NUMBERS = frozenset({str, int, bool, type(None)})
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def canonical_bytes(value: Json) -> bytes:
    """JSON in UTF-8 with sorted keys and no spaces.

    Raises:
        ValueError: NaN or infinity.
        TypeError: no JSON value, an integer beyond 64 bits, or text that is no Unicode.
    """
    encoded = orjson.dumps(value, _plain, _OPTIONS)
    if b"null" in encoded and not _is_finite(value):  # what the encoder makes of NaN
        raise ValueError("out of range float values are not JSON compliant")
    return encoded


def canonical_json(value: Json) -> str:
    """``canonical_bytes`` as text."""
    return canonical_bytes(value).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"{value!r:.80} is no JSON value")


def _is_finite(value: Json) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind in _WITHOUT_NUMBERS:
        return True
    if kind is list or kind is tuple:
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
