"""The declared range and shape of each feedback type's value."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import FeedbackType
from everloop.feedback.categories import CATEGORIES, CategoryTable

MOST_CHARACTERS = 20_000
"""Longest text of one feedback."""
MOST_URL_CHARACTERS = 2_000

RANGES: Mapping[FeedbackType, tuple[float, float]] = MappingProxyType(
    {
        FeedbackType.RATING: (1.0, 5.0),
        FeedbackType.TRUST_SURVEY: (1.0, 5.0),
        FeedbackType.SCROLL: (0.0, 1.0),
        FeedbackType.DWELL: (0.0, 3600.0),
        FeedbackType.CONVERSION: (0.0, 1.0),
        FeedbackType.CLICK: (0.0, 1.0),
    }
)
"""Lowest and highest value; dwell in seconds. A conversion or a click is also true (1) or false (0)."""

VOICE_RANGE = (-1.0, 1.0)
"""Of pitch and of speed: 0 is as it was, 1 as high or fast as the voice goes."""

_EITHER = frozenset({FeedbackType.CONVERSION, FeedbackType.CLICK})
_WINNERS = ("a", "b", "tie")


@dataclass(frozen=True, slots=True)
class Declared:
    """A value within its type's range. ``clamped``: the number sent was outside of it."""

    value: Json
    clamped: bool = False


def declared(kind: FeedbackType, raw: Json, categories: CategoryTable = CATEGORIES) -> Declared:
    """Read the value of a feedback as its type declares it.

    Args:
        kind: the feedback type.
        raw: any JSON value.
        categories: what a categorical choice may name.

    Raises:
        ShouldFixFeedback: the value has another shape, naming it and the one expected.
    """
    if kind in RANGES:
        return _number(kind, raw)
    return _SHAPES[kind](raw, categories)


def _number(kind: FeedbackType, raw: Json) -> Declared:
    low, high = RANGES[kind]
    if kind in _EITHER and isinstance(raw, bool):
        return Declared(float(raw))
    also = "true, false or " if kind in _EITHER else ""
    return _clamped(raw, low, high, kind.value, f"Send {also}a number from {low:g} to {high:g}.")


def _clamped(raw: Json, low: float, high: float, name: str, remedy: str) -> Declared:
    if (
        isinstance(raw, bool)
        or not isinstance(raw, int | float)
        or (isinstance(raw, float) and not math.isfinite(raw))
    ):
        raise ShouldFixFeedback(f"{name}={_shown(raw)} is no number.", remedy)
    within = max(low, min(high, raw))
    return Declared(float(within), clamped=within != raw)


def _thumb(raw: Json, _: CategoryTable) -> Declared:
    if not isinstance(raw, bool):
        raise ShouldFixFeedback(
            f"thumb={_shown(raw)} is neither true nor false.", "Send true for up, false for down."
        )
    return Declared(raw)


def _category(raw: Json, categories: CategoryTable) -> Declared:
    if not isinstance(raw, str):
        raise ShouldFixFeedback(
            f"categorical_choice={_shown(raw)} is no text.", "Send a category such as too_formal."
        )
    return Declared(categories.named(raw).name)


def _text(name: str) -> Callable[[Json, CategoryTable], Declared]:
    return lambda raw, _: Declared(_written(raw, name, MOST_CHARACTERS))


def _written(raw: Json, name: str, most: int) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ShouldFixFeedback(f"{name}={_shown(raw)} is no text.", "Send what the person wrote.")
    if len(raw) > most:
        raise ShouldFixFeedback(
            f"{name} has {len(raw):,} characters, more than {most:,}.",
            "Send the part that matters.",
        )
    return raw


def _comparison(raw: Json, _: CategoryTable) -> Declared:
    remedy = 'Send {"chosen": text, "rejected": text} or {"winner": "a", "b" or "tie"}.'
    if not isinstance(raw, Mapping) or set(raw) not in ({"chosen", "rejected"}, {"winner"}):
        raise ShouldFixFeedback(f"comparison={_shown(raw)} has another shape.", remedy)
    if "winner" not in raw:
        texts = {
            name: _written(raw[name], f"comparison.{name}", MOST_CHARACTERS)
            for name in ("chosen", "rejected")
        }
        if texts["chosen"] == texts["rejected"]:
            raise ShouldFixFeedback(
                f"comparison.chosen={_shown(raw['chosen'])} is what was rejected, too.",
                'Send two texts that differ, or {"winner": "tie"}.',
            )
        return Declared(texts)
    if raw["winner"] not in _WINNERS:
        raise ShouldFixFeedback(
            f"comparison.winner={_shown(raw['winner'])} is none of a, b and tie.", remedy
        )
    return Declared({"winner": raw["winner"]})


def _voice(raw: Json, _: CategoryTable) -> Declared:
    known = {"pitch", "speed", "sample_url"}
    if not isinstance(raw, Mapping) or not raw or not set(raw) <= known:
        raise ShouldFixFeedback(
            f"voice_adjustment={_shown(raw)} has another shape.",
            'Send {"pitch": -1 to 1, "speed": -1 to 1} or {"sample_url": address}, or both.',
        )
    value: dict[str, Json] = {}
    outside = False
    for name in ("pitch", "speed"):
        if name in raw:
            read = _clamped(
                raw[name], *VOICE_RANGE, f"voice_adjustment.{name}", "Send a number from -1 to 1."
            )
            value[name] = read.value
            outside = outside or read.clamped
    if "sample_url" in raw:
        url = _written(raw["sample_url"], "voice_adjustment.sample_url", MOST_URL_CHARACTERS)
        if not url.startswith(("https://", "gs://")):
            raise ShouldFixFeedback(
                f"voice_adjustment.sample_url={_shown(url)} is no address of a recording.",
                "Send an https:// or gs:// address.",
            )
        value["sample_url"] = url
    return Declared(value, outside)


def _shown(value: Json) -> str:
    """The value for an error message, cut to what a line holds."""
    try:
        shown = reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return "a number that no computer writes"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


_SHAPES: Mapping[FeedbackType, Callable[[Json, CategoryTable], Declared]] = MappingProxyType(
    {
        FeedbackType.THUMB: _thumb,
        FeedbackType.CATEGORICAL_CHOICE: _category,
        FeedbackType.CORRECTION: _text("correction"),
        FeedbackType.FREE_TEXT: _text("free_text"),
        FeedbackType.IMPLICIT_REPLY: _text("implicit_reply"),
        FeedbackType.COMPARISON: _comparison,
        FeedbackType.VOICE_ADJUSTMENT: _voice,
    }
)
