"""Named complaints and praise, and what each says of the voice: too_formal is formality -0.2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import AIInterpretation

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_BETWEEN_WORDS = re.compile(r"[\s_\-]+")


@dataclass(frozen=True, slots=True)
class Category:
    """One choice.

    Attributes:
        name: lower-case words joined by underscores.
        value: how good an output is of which this is said, in [-1, 1].
        trait: the trait of the voice that should move; ``None`` when it names none.
        adjustment: by how much, in [-1, 1]; not 0 exactly where there is a trait.

    Raises:
        ShouldFixFeedback: naming the category and what is wrong with it.
    """

    name: str
    value: float
    trait: str | None = None
    adjustment: float = 0.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ShouldFixFeedback(
                f"Category {self.name!r} is not lower-case words joined by underscores.",
                "Rename it.",
            )
        for what in ("value", "adjustment"):
            if not -1.0 <= getattr(self, what) <= 1.0:
                raise ShouldFixFeedback(
                    f"Category {self.name}: {what}={getattr(self, what)!r} leaves [-1, 1].",
                    "Rescale it.",
                )
        if (self.trait is None) != (self.adjustment == 0.0):
            raise ShouldFixFeedback(
                f"Category {self.name}: trait={self.trait!r} with adjustment={self.adjustment!r}.",
                "Give both, or neither.",
            )

    def interpretation(self, factor: float = 1.0) -> AIInterpretation:
        """What the choice teaches, made stronger or weaker by ``factor`` > 0."""
        return AIInterpretation(
            intent=self.name,
            trait=self.trait,
            adjustment=_clamp(self.adjustment * factor),
            value=_clamp(self.value * factor),
        )


class CategoryTable:
    """Categories by name; immutable.

    Raises:
        ShouldFixFeedback: a name is listed twice.
    """

    def __init__(self, categories: Iterable[Category]) -> None:
        self._by_name: dict[str, Category] = {}
        for category in categories:
            if category.name in self._by_name:
                raise ShouldFixFeedback(
                    f"Category {category.name} is listed twice.", "Name each once."
                )
            self._by_name[category.name] = category

    def __iter__(self) -> Iterator[Category]:
        return iter(self._by_name.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Category:
        """The category of that exact name; ``KeyError`` if there is none."""
        return self._by_name[name]

    def extended(self, categories: Iterable[Category]) -> CategoryTable:
        """A table with a product's own categories besides these; one of the same name replaces it."""
        return CategoryTable(
            (self._by_name | {category.name: category for category in categories}).values()
        )

    def named(self, name: str) -> Category:
        """The category that a person or a product calls ``name``: "Too formal", too-formal, too_formal.

        Raises:
            ShouldFixFeedback: naming the nearest one.
        """
        key = _BETWEEN_WORDS.sub("_", name.strip().casefold())[:200]
        if key in self._by_name:
            return self._by_name[key]
        near = difflib.get_close_matches(key, self._by_name, n=1, cutoff=0.5)
        remedy = f"Did you mean {near[0]!r}? " if near else ""
        raise ShouldFixFeedback(
            f"There is no feedback category {name[:80]!r}.",
            f"{remedy}Known: {', '.join(sorted(self._by_name))}.",
        )


def _clamp(number: float) -> float:
    return max(-1.0, min(1.0, number))


CATEGORIES = CategoryTable(
    (
        Category("too_formal", -0.5, "formality", -0.2),
        Category("too_casual", -0.5, "formality", +0.2),
        Category("too_long", -0.5, "verbosity", -0.2),
        Category("too_short", -0.5, "verbosity", +0.2),
        Category("too_complex", -0.5, "vocabulary_complexity", -0.2),
        Category("too_simple", -0.5, "vocabulary_complexity", +0.2),
        Category("rude", -0.8, "warmth", +0.2),
        Category("too_cold", -0.4, "warmth", +0.2),
        Category("too_friendly", -0.4, "warmth", -0.2),
        Category("too_serious", -0.4, "humor", +0.2),
        Category("too_jokey", -0.4, "humor", -0.2),
        Category("too_flat", -0.4, "enthusiasm", +0.2),
        Category("too_excited", -0.4, "enthusiasm", -0.2),
        Category("too_many_emoji", -0.4, "expressiveness", -0.2),
        Category("too_few_emoji", -0.2, "expressiveness", +0.2),
        Category("too_vague", -0.5, "directness", +0.2),
        Category("too_pushy", -0.6, "directness", -0.2),
        Category("too_fast", -0.4, "voice_speed", -0.2),
        Category("too_slow", -0.4, "voice_speed", +0.2),
        Category("too_high", -0.4, "voice_pitch", -0.2),
        Category("too_low", -0.4, "voice_pitch", +0.2),
        Category("incorrect_information", -1.0),
        Category("not_like_me", -0.8),
        Category("off_topic", -0.7),
        Category("repetitive", -0.5),
        Category("not_helpful", -0.7),
        Category("disliked", -0.7),
        Category("offensive", -1.0),
        Category("nailed_it", +1.0),
        Category("sounds_like_me", +1.0),
        Category("helpful", +0.7),
        Category("liked", +0.7),
    )
)
"""The choices that every product has."""
