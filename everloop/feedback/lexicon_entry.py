"""One entry of the lexicon: a word or phrase, and how a mention of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    FAULT = auto()
    """Never wanted: stiff, wordy. Any mention that isn't denied is a complaint."""
    PLAIN = auto()
    """A matter of degree: formal, long. A complaint when there is too much of it, "
    "or a wish for more."""
    VIRTUE = auto()
    """Good in itself: friendly, clear. Praise, unless there is too much or not enough."""
    COMPARATIVE = auto()
    """A wish: shorter, warmer."""
    VERDICT = auto()
    """Says how good it was: nailed it, wrong. Denied, it says the opposite."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One word or phrase.

    Attributes:
        words: lower-case, contractions spelled out.
        kind: how a mention is read.
        category: what a mention complains of or praises; "" when a bare mention says nothing.
        opposite: what its lack or denial says; "" when that says nothing but "not so".
    """

    words: tuple[str, ...]
    kind: Kind
    category: str
    opposite: str = ""
