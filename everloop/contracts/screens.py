"""What texts are looked at for, before anything learns from them or a candidate may say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from everloop.contracts.errors import ShouldFixArgument


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Where a text names a person's data; ``kind`` such as ``email``, ``phone``, ``card``, ``person``.

    ``start`` and ``end`` count characters; what stands there is deliberately not repeated.
    """

    kind: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ShouldFixArgument(f"{self.kind}: [{self.start}, {self.end}) is no span of text.")


@dataclass(frozen=True, slots=True)
class LanguageGuess:
    """The likeliest language of a text, ISO 639-1, with its probability; ``""`` and 0 where a text is too
    short to tell."""

    language: str
    probability: float


class ToxicityScorer(Protocol):
    """How abusive or obscene texts are."""

    def toxicity(self, texts: Sequence[str]) -> tuple[float, ...]:
        """Scores in [0, 1], in the order given; an empty text scores 0."""


class PersonalDataFinder(Protocol):
    """Finds data by which a person can be reached or told from others."""

    def personal_data(self, text: str) -> tuple[PersonalData, ...]:
        """Every place, by its start; empty where there is none. A first name alone is none."""


class LanguageTeller(Protocol):
    """Which language a text is in."""

    def languages(self, texts: Sequence[str]) -> tuple[LanguageGuess, ...]:
        """One guess a text, in the order given."""
